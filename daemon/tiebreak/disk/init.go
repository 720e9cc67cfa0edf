package disk

import (
	"crypto/rand"
	"fmt"
	"time"

	"baton/core/epoch"
)

// blank fills area, zeroed, with a header and blocks that nobody has written yet.
func blank(area []byte, h header) {
	h.encode(area[:slotSize])
	for i := 1; i <= int(h.blocks); i++ {
		block{server: uint32(i), disk: h.disk}.encode(area[slotOf(i) : slotOf(i)+slotSize])
	}
}

// Init makes a CLUSTER partition of a device that holds nothing, and returns its new
// id. It refuses a device that is in use, and one on which there is anything in the
// first or last MiB, where file systems, volume managers and partition tables have
// their marks. A CLUSTER partition that no cluster has used may be prepared again;
// one that has been used only with force. Nothing but that is forced.
//
// The cluster must not be running: a batond that meets the new partition enrols its
// cluster again, but one that is just writing may spoil it, which then shows and
// needs another Init.
func Init(path string, force bool) (ID, error) {
	d, err := openDevice(path, true)
	if err != nil {
		return ID{}, err
	}
	defer d.close()
	if err := d.isFree(force); err != nil {
		return ID{}, err
	}
	h := header{sector: uint32(d.sector), blocks: MaxServers, made: time.Now().Unix()}
	rand.Read(h.disk[:])

	// The header goes last: a partition that is only half prepared has none.
	area := alignedMemory(Size)
	if err := d.writeAt(area, 0); err != nil {
		return ID{}, err
	}
	blank(area[:areaSize], h)
	if err := d.writeAt(area[registerStart:], registerStart); err != nil {
		return ID{}, err
	}
	if err := d.writeAt(area[:registerStart], 0); err != nil {
		return ID{}, err
	}
	back := alignedMemory(areaSize)
	if err := d.readAt(back, 0); err != nil {
		return ID{}, err
	}
	if string(back) != string(area[:areaSize]) {
		return ID{}, fmt.Errorf("%s: what was written cannot be read back", path)
	}
	return h.disk, nil
}

// isFree says why the device must not be prepared, nil if it may be.
func (d *device) isFree(force bool) error {
	first, last := alignedMemory(Size), alignedMemory(Size)
	if err := d.readAt(first, 0); err != nil {
		return err
	}
	h, err := decodeHeader(first)
	switch {
	case err == nil:
		info := describe(h, first)
		if info.Cluster == 0 && info.Damaged == nil || force {
			return nil
		}
		return fmt.Errorf("%s: a CLUSTER partition that a cluster uses (%v); if that cluster is no more, or stopped on all servers and its disk damaged, add --force", d.path, info)
	case err != errNoMagic && force:
		return nil
	case err != errNoMagic:
		return fmt.Errorf("%s: a CLUSTER partition, damaged (%w); add --force to prepare it again", d.path, err)
	}
	end := (d.size - Size) / int64(d.sector) * int64(d.sector)
	if err := d.readAt(last, end); err != nil {
		return err
	}
	const remedy = "if nothing of it is needed: wipefs -a %s; dd if=/dev/zero of=%s bs=1M count=1 conv=fsync"
	if what := signature(first); what != "" {
		return fmt.Errorf("%s: holds %s; "+remedy, d.path, what, d.path, d.path)
	}
	if at := firstNonZero(first); at >= 0 {
		return fmt.Errorf("%s: holds something unknown (at byte %d); "+remedy, d.path, at, d.path, d.path)
	}
	if at := firstNonZero(last); at >= 0 {
		return fmt.Errorf("%s: holds something in its last MiB (at byte %d), as RAID, GPT and DRBD leave it; wipefs -a %s, or make the partition anew", d.path, end+int64(at), d.path)
	}
	return nil
}

func firstNonZero(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return -1
}

// Info is what a CLUSTER partition says of itself.
type Info struct {
	Disk    ID
	Made    time.Time // by Init, on the clock of that server
	Cluster uint64    // the cluster that uses it; 0: none
	Top     epoch.ID  // the highest decided epoch; none where no cluster is enrolled
	Damaged []int     // servers whose blocks cannot be read
}

func (i Info) String() string {
	if i.Cluster == 0 {
		return fmt.Sprintf("disk %v, prepared %s, not used yet", i.Disk, i.Made.Format(time.DateTime))
	}
	return fmt.Sprintf("disk %v, prepared %s, cluster %x at epoch %d", i.Disk, i.Made.Format(time.DateTime), i.Cluster, i.Top.Number)
}

func describe(h header, area []byte) Info {
	info := Info{Disk: h.disk, Made: h.madeAt()}
	for s := 1; s <= int(h.blocks); s++ {
		b, _, err := decodeBlock(area[slotOf(s):])
		if err != nil || b.disk != h.disk {
			info.Damaged = append(info.Damaged, s)
			continue
		}
		if b.cluster != 0 {
			info.Cluster = b.cluster
		}
		if b.top.Number > info.Top.Number {
			info.Top = b.top
		}
	}
	return info
}

// Inspect reads what a CLUSTER partition says of itself. It is for people; it may run
// beside batond.
func Inspect(path string) (Info, error) {
	d, err := openDevice(path, false)
	if err != nil {
		return Info{}, err
	}
	defer d.close()
	area := alignedMemory(areaSize)
	if err := d.readAt(area, 0); err != nil {
		return Info{}, err
	}
	h, err := decodeHeader(area)
	if err != nil {
		return Info{}, fmt.Errorf("%s: %w", path, err)
	}
	return describe(h, area), nil
}
