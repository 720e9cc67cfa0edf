package disk

import "bytes"

// mark is what something leaves at a place of a device.
type mark struct {
	at   int
	text string
	name string
}

// marks are those within the first MiB, as libblkid knows them. What is not among
// them is refused as well, only without its name.
var marks = []mark{
	{0, "LUKS\xba\xbe", "a LUKS volume"},
	{0, "XFSB", "an XFS file system"},
	{0, "hsqs", "a squashfs"},
	{0, "SBD_SBD_", "an SBD partition of Pacemaker"},
	{3, "NTFS    ", "an NTFS file system"},
	{3, "EXFAT   ", "an exFAT file system"},
	{54, "FAT1", "a FAT file system"},
	{82, "FAT32", "a FAT file system"},
	{512, "EFI PART", "a GPT partition table"},
	{4096, "EFI PART", "a GPT partition table"},
	{0, "LABELONE", "an LVM physical volume"},
	{512, "LABELONE", "an LVM physical volume"},
	{1024, "LABELONE", "an LVM physical volume"},
	{1536, "LABELONE", "an LVM physical volume"},
	{0, "\xfc\x4e\x2b\xa9", "a RAID member (md)"},
	{4096, "\xfc\x4e\x2b\xa9", "a RAID member (md)"},
	{1024, "\x10\x20\xf5\xf2", "an F2FS file system"},
	{1080, "\x53\xef", "an ext2, ext3 or ext4 file system"},
	{4086, "SWAPSPACE2", "a swap area"},
	{4086, "SWAP-SPACE", "a swap area"},
	{4120, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "a bcache device"},
	{8192, "OCFSV2", "an OCFS2 file system"},
	{1024, "OCFSV2", "an OCFS2 file system"},
	{2048, "OCFSV2", "an OCFS2 file system"},
	{4096, "OCFSV2", "an OCFS2 file system"},
	{32768, "JFS1", "a JFS file system"},
	{32769, "CD001", "an ISO 9660 file system"},
	{65536, "\x01\x16\x19\x70", "a GFS2 file system"},
	{65588, "ReIsEr", "a ReiserFS file system"},
	{65600, "_BHRfS_M", "a btrfs file system"},
	{510, "\x55\xaa", "a partition table or boot sector"},
}

// signature names what a device holds by its first MiB, "" where it is
// nothing known.
func signature(first []byte) string {
	for _, m := range marks {
		if bytes.HasPrefix(first[m.at:], []byte(m.text)) {
			return m.name
		}
	}
	return ""
}
