package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// drop is one direction between two ports of a bridge that loses packets, silently and
// below everything: ARP, IPv4 and IPv6 alike.
type drop struct {
	in, out string // ports
	percent int    // 1 to 100
}

// setDrop adds or (percent 0) removes a drop.
func (sw *switchRoom) setDrop(d drop) error {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(sw.drops), func(o drop) bool { return o.in == d.in && o.out == d.out })
	if d.percent > 0 {
		next = append(next, d)
	}
	if err := sw.applyDrops(next); err != nil {
		return err
	}
	sw.drops = next
	return nil
}

// clearDrops removes all drops.
func (sw *switchRoom) clearDrops() error {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	if len(sw.drops) == 0 {
		return nil
	}
	if err := sw.applyDrops(nil); err != nil {
		return err
	}
	sw.drops = nil
	return nil
}

// Constants of linux/netfilter/nf_tables.h that x/sys/unix lacks or that are clearer here.
const (
	nftReg1       = 1 // NFT_REG_1
	nftVerdict    = 0 // NFT_REG_VERDICT
	nftMetaInput  = 6 // NFT_META_IIFNAME
	nftMetaOutput = 7 // NFT_META_OIFNAME
	nftHookFwd    = 2 // NF_BR_FORWARD
	nftFamily     = 7 // NFPROTO_BRIDGE
)

// applyDrops replaces the lab's nf_tables table by one with these drops, in one
// transaction: there is no moment without the old or the new ones.
func (sw *switchRoom) applyDrops(drops []drop) error {
	name := nl.ZeroTerminated("lab")
	var b nftBatch
	b.add(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, attr(unix.NFTA_TABLE_NAME, name))
	b.add(unix.NFT_MSG_DELTABLE, 0, attr(unix.NFTA_TABLE_NAME, name))
	if len(drops) > 0 {
		b.add(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, attr(unix.NFTA_TABLE_NAME, name))
		b.add(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE,
			attr(unix.NFTA_CHAIN_TABLE, name),
			attr(unix.NFTA_CHAIN_NAME, nl.ZeroTerminated("forward")),
			nest(unix.NFTA_CHAIN_HOOK, attr(unix.NFTA_HOOK_HOOKNUM, be32(nftHookFwd)), attr(unix.NFTA_HOOK_PRIORITY, be32(0))),
			attr(unix.NFTA_CHAIN_TYPE, nl.ZeroTerminated("filter")))
	}
	for _, d := range drops {
		b.add(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND,
			attr(unix.NFTA_RULE_TABLE, name),
			attr(unix.NFTA_RULE_CHAIN, nl.ZeroTerminated("forward")),
			nest(unix.NFTA_RULE_EXPRESSIONS, d.rule()...))
	}
	err := within(sw.ns, b.send)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("drop packets: %w (the kernel has no nf_tables for bridges: modules nf_tables, nft_numgen)", err)
	}
	if err != nil {
		return fmt.Errorf("drop packets: %w", err)
	}
	return nil
}

// rule: iifname IN oifname OUT [numgen random mod 100 < PERCENT] drop.
func (d drop) rule() [][]byte {
	port := func(key uint32, name string) [][]byte {
		value := make([]byte, 16) // IFNAMSIZ
		copy(value, name)
		return [][]byte{
			expr("meta", attr(unix.NFTA_META_KEY, be32(key)), attr(unix.NFTA_META_DREG, be32(nftReg1))),
			compare(unix.NFT_CMP_EQ, value),
		}
	}
	rule := append(port(nftMetaInput, d.in), port(nftMetaOutput, d.out)...)
	if d.percent < 100 {
		rule = append(rule,
			expr("numgen", attr(unix.NFTA_NG_DREG, be32(nftReg1)), attr(unix.NFTA_NG_MODULUS, be32(100)),
				attr(unix.NFTA_NG_TYPE, be32(unix.NFT_NG_RANDOM))),
			expr("byteorder", attr(unix.NFTA_BYTEORDER_SREG, be32(nftReg1)), attr(unix.NFTA_BYTEORDER_DREG, be32(nftReg1)),
				attr(unix.NFTA_BYTEORDER_OP, be32(unix.NFT_BYTEORDER_HTON)), attr(unix.NFTA_BYTEORDER_LEN, be32(4)),
				attr(unix.NFTA_BYTEORDER_SIZE, be32(4))),
			compare(unix.NFT_CMP_LT, be32(uint32(d.percent))))
	}
	return append(rule, expr("immediate",
		attr(unix.NFTA_IMMEDIATE_DREG, be32(nftVerdict)),
		nest(unix.NFTA_IMMEDIATE_DATA, nest(unix.NFTA_DATA_VERDICT, attr(unix.NFTA_VERDICT_CODE, be32(0))))))
}

func compare(op uint32, value []byte) []byte {
	return expr("cmp", attr(unix.NFTA_CMP_SREG, be32(nftReg1)), attr(unix.NFTA_CMP_OP, be32(op)),
		nest(unix.NFTA_CMP_DATA, attr(unix.NFTA_DATA_VALUE, value)))
}

func expr(name string, attrs ...[]byte) []byte {
	return nest(unix.NFTA_LIST_ELEM, attr(unix.NFTA_EXPR_NAME, nl.ZeroTerminated(name)), nest(unix.NFTA_EXPR_DATA, attrs...))
}

func attr(kind int, value []byte) []byte { return nl.NewRtAttr(kind, value).Serialize() }

func nest(kind int, attrs ...[]byte) []byte {
	return attr(kind|unix.NLA_F_NESTED, slices.Concat(attrs...))
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// nftBatch is one transaction: begin, messages, end.
type nftBatch struct {
	buf []byte
	seq uint32
}

func (b *nftBatch) message(kind, flags int, family byte, res uint16, attrs ...[]byte) {
	body := slices.Concat(attrs...)
	h := make([]byte, 20, 20+len(body))
	binary.NativeEndian.PutUint32(h[0:], uint32(20+len(body)))
	binary.NativeEndian.PutUint16(h[4:], uint16(kind))
	binary.NativeEndian.PutUint16(h[6:], uint16(unix.NLM_F_REQUEST|flags))
	binary.NativeEndian.PutUint32(h[8:], b.seq)
	h[16], h[17] = family, 0
	binary.BigEndian.PutUint16(h[18:], res)
	b.buf = append(b.buf, append(h, body...)...)
	b.seq++
}

func (b *nftBatch) add(kind, flags int, attrs ...[]byte) {
	if len(b.buf) == 0 {
		b.message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	}
	b.message(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags|unix.NLM_F_ACK, nftFamily, 0, attrs...)
}

// send hands the batch to the kernel and waits for one answer to each message.
func (b *nftBatch) send() error {
	want := int(b.seq) - 1
	b.message(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	if err := unix.Sendto(fd, b.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	in := make([]byte, 1<<16)
	for want > 0 {
		n, _, err := unix.Recvfrom(fd, in, 0)
		if err != nil {
			return err
		}
		for m := in[:n]; len(m) >= 20; want-- {
			size := binary.NativeEndian.Uint32(m)
			if size < 20 || int(size) > len(m) {
				return fmt.Errorf("netlink message of %d bytes, %d there", size, len(m))
			}
			if binary.NativeEndian.Uint16(m[4:]) == unix.NLMSG_ERROR {
				if errno := int32(binary.NativeEndian.Uint32(m[16:])); errno != 0 {
					return unix.Errno(-errno)
				}
			}
			m = m[min(len(m), int(size+3)&^3):]
		}
	}
	return nil
}
