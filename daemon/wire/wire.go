// Package wire is the binary form of node.Message, as packages heartbeat and peer
// carry it: fixed-size fields in big endian and one payload at the end. It also has
// the window by which both tell what has come before.
//
// It neither seals nor frames nor sends. Its functions are pure and may be called
// from any goroutine. What comes in has been authenticated by then, and is parsed as
// if it had not: every message has exactly one encoding, and anything else (an
// unknown version, kind or flag, a byte too many) is refused.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/node"
)

// Version is the first byte of every message. A server refuses every other one: the
// servers of a cluster are upgraded in place one by one, so a change of this number
// needs a release that reads both.
const Version = 1

// Bounds, in bytes.
const (
	// MaxDatagram is the largest datagram, seal included. It fits the smallest MTU
	// of IPv6 (1280) with its headers, so that no heartbeat is ever fragmented: a
	// lost fragment would be a lost heartbeat.
	MaxDatagram = 1200
	// SealRoom is what a datagram has left for its seal.
	SealRoom = 48
	// MaxStream is the largest message on a stream. A raft snapshot is the cluster's
	// state, some hundred KiB at the very most; the bound is for the reader's memory.
	MaxStream = 64 << 20
	// MaxBoot is the longest boot id. Linux has 36 characters.
	MaxBoot = 47
	// MaxServer is the highest server number.
	MaxServer = 16
)

// headSize is everything up to the lists, which the payload follows.
const headSize = 5 + // version, kind, from, to, flags
	8 + 16 + 16 + 8 + 8 + // seq, life, epoch, term, session
	1 + MaxBoot + // length of the boot id, boot id padded with zeros
	16 + 8 + 16 + 8 + // heard life, heard seq, hears, rules
	8 + 16 + 8 + // answer seq, answer life, former age
	8 + 8 + 8 + 8 + 8 + 16 + // grant, grant session, ended, opened, applied, forced
	4 // length of the payload

// MaxVoters is the longest list of raft ids: the members of a configuration, and
// those of a few configurations in a row, in which a server may have had two ids.
const MaxVoters = 32

const (
	flagLeader = 1 << iota
	flagLeaving
	flagSupport
	flagStuck
	flagSeal
	flagShut
	flagPowerOff // of these two none or one, and only with flagShut
	flagReboot
)

// sealSize is a seal without its list: last term, last index, support age, yield.
const sealSize = 8 + 8 + 8 + 8

// ErrVersion is returned by Decode for a message of another version; every other
// error means that the bytes are no message at all.
var ErrVersion = errors.New("unknown version")

// Datagram reports whether messages of the kind travel as datagrams, on every path.
// The others travel on the peer streams.
func Datagram(k node.MessageKind) bool {
	return k == node.MsgHeartbeat || k == node.MsgEcho || k == node.MsgGrant
}

// limit is the largest encoding of the kind.
func limit(k node.MessageKind) int {
	if Datagram(k) {
		return MaxDatagram - SealRoom
	}
	return MaxStream
}

// Size returns the length of the message's encoding.
func Size(m *node.Message) int {
	n := headSize + 1 + 8*len(m.Voters) + len(m.Payload)
	if m.Seal != nil {
		n += sealSize + 1 + 8*len(m.Seal.Voters)
	}
	return n
}

// Append appends the message's encoding to b. It allocates only to grow b. It fails
// for a message that Decode would refuse, and returns b as it was.
func Append(b []byte, m *node.Message) ([]byte, error) {
	if err := check(m.Kind, m.From, m.To, len(m.Boot), Size(m)); err != nil {
		return b, err
	}
	if len(m.Voters) > MaxVoters || m.Seal != nil && len(m.Seal.Voters) > MaxVoters {
		return b, fmt.Errorf("voters: more than %d", MaxVoters)
	}
	var flags byte
	if m.Stuck {
		flags |= flagStuck
	}
	if m.Seal != nil {
		flags |= flagSeal
	}
	if m.Leader {
		flags |= flagLeader
	}
	if m.Leaving {
		flags |= flagLeaving
	}
	if m.Support {
		flags |= flagSupport
	}
	if m.Shut {
		flags |= flagShut
	}
	switch {
	case m.Then == "":
	case m.Shut && m.Then == cluster.ThenPowerOff:
		flags |= flagPowerOff
	case m.Shut && m.Then == cluster.ThenReboot:
		flags |= flagReboot
	default:
		return b, fmt.Errorf("then: %q of a server that is shut down: %t", m.Then, m.Shut)
	}
	be := binary.BigEndian
	b = append(b, Version, byte(m.Kind), byte(m.From), byte(m.To), flags)
	b = be.AppendUint64(b, m.Seq)
	b = appendLife(b, m.Life)
	b = appendEpoch(b, m.Epoch)
	b = be.AppendUint64(b, m.Term)
	b = be.AppendUint64(b, m.Session)
	b = append(b, byte(len(m.Boot)))
	b = append(b, m.Boot...)
	b = append(b, zeros[:MaxBoot-len(m.Boot)]...)
	b = appendLife(b, m.HeardLife)
	b = be.AppendUint64(b, m.HeardSeq)
	b = append(b, m.Hears[:]...)
	b = be.AppendUint64(b, m.Rules)
	b = be.AppendUint64(b, m.AnswerSeq)
	b = appendLife(b, m.AnswerLife)
	b = be.AppendUint64(b, uint64(m.FormerAge))
	b = be.AppendUint64(b, uint64(m.Grant))
	b = be.AppendUint64(b, m.GrantSession)
	b = be.AppendUint64(b, m.Ended)
	b = be.AppendUint64(b, m.Opened)
	b = be.AppendUint64(b, m.Applied)
	b = appendEpoch(b, m.Forced)
	b = be.AppendUint32(b, uint32(len(m.Payload)))
	b = appendVoters(b, m.Voters)
	if s := m.Seal; s != nil {
		b = be.AppendUint64(b, s.LastTerm)
		b = be.AppendUint64(b, s.LastIndex)
		b = be.AppendUint64(b, uint64(s.SupportAge))
		b = be.AppendUint64(b, uint64(s.Yield))
		b = appendVoters(b, s.Voters)
	}
	return append(b, m.Payload...), nil
}

func appendVoters(b []byte, ids []epoch.RaftID) []byte {
	b = append(b, byte(len(ids)))
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, uint64(id))
	}
	return b
}

var zeros [MaxBoot]byte

func appendEpoch(b []byte, e epoch.ID) []byte {
	b = binary.BigEndian.AppendUint64(b, e.Number)
	return binary.BigEndian.AppendUint64(b, uint64(e.Founder))
}

func appendLife(b []byte, l node.Life) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(l.Raft))
	return binary.BigEndian.AppendUint64(b, l.Start)
}

// Decode reads one message, which must be all of b. The payload is part of b and
// nil where empty; everything else is copied.
func Decode(b []byte) (node.Message, error) {
	var m node.Message
	if len(b) < headSize {
		return m, fmt.Errorf("%d bytes: a message has %d at least", len(b), headSize)
	}
	if b[0] != Version {
		return m, fmt.Errorf("version %d: %w, this one speaks %d", b[0], ErrVersion, Version)
	}
	r := reader{b[:headSize]}
	r.byte()
	m.Kind = node.MessageKind(r.byte())
	m.From, m.To = int(r.byte()), int(r.byte())
	flags := r.byte()
	m.Leader = flags&flagLeader != 0
	m.Leaving = flags&flagLeaving != 0
	m.Support = flags&flagSupport != 0
	m.Shut = flags&flagShut != 0
	m.Stuck = flags&flagStuck != 0
	m.Seq = r.uint64()
	m.Life = r.life()
	m.Epoch = r.epoch()
	m.Term = r.uint64()
	m.Session = r.uint64()
	bootLen := int(r.byte())
	boot := r.bytes(MaxBoot)
	m.HeardLife = r.life()
	m.HeardSeq = r.uint64()
	copy(m.Hears[:], r.bytes(len(m.Hears)))
	m.Rules = r.uint64()
	m.AnswerSeq = r.uint64()
	m.AnswerLife = r.life()
	m.FormerAge = time.Duration(r.uint64())
	m.Grant = time.Duration(r.uint64())
	m.GrantSession = r.uint64()
	m.Ended = r.uint64()
	m.Opened = r.uint64()
	m.Applied = r.uint64()
	m.Forced = r.epoch()
	payload := int(r.uint32())
	tail := reader{b[headSize:]}
	var err error
	if m.Voters, err = tail.voters(); err != nil {
		return node.Message{}, err
	}
	if flags&flagSeal != 0 {
		if len(tail.b) < sealSize {
			return node.Message{}, fmt.Errorf("seal: %d bytes, it has %d at least", len(tail.b), sealSize)
		}
		m.Seal = &node.Seal{LastTerm: tail.uint64(), LastIndex: tail.uint64(), SupportAge: time.Duration(tail.uint64()), Yield: epoch.RaftID(tail.uint64())}
		if m.Seal.Voters, err = tail.voters(); err != nil {
			return node.Message{}, err
		}
	}

	if err := check(m.Kind, m.From, m.To, bootLen, len(b)); err != nil {
		return node.Message{}, err
	}
	switch then := flags & (flagPowerOff | flagReboot); {
	case then == 0:
	case flags&flagShut == 0 || then == flagPowerOff|flagReboot:
		return node.Message{}, fmt.Errorf("flags %#x: contradict each other", flags)
	case then == flagPowerOff:
		m.Then = cluster.ThenPowerOff
	default:
		m.Then = cluster.ThenReboot
	}
	for _, c := range boot[bootLen:] {
		if c != 0 {
			return node.Message{}, errors.New("boot id: not padded with zeros")
		}
	}
	if payload != len(tail.b) {
		return node.Message{}, fmt.Errorf("payload: %d bytes announced, %d there", payload, len(tail.b))
	}
	m.Boot = string(boot[:bootLen])
	if payload > 0 {
		m.Payload = tail.b
	}
	return m, nil
}

// check holds what both directions refuse.
func check(kind node.MessageKind, from, to, boot, size int) error {
	switch {
	case kind < node.MsgHeartbeat || kind > node.MsgPropose:
		return fmt.Errorf("kind %d: unknown", kind)
	case from < 1 || from > MaxServer:
		return fmt.Errorf("from: server %d is not in 1 to %d", from, MaxServer)
	case to < 1 || to > MaxServer:
		return fmt.Errorf("to: server %d is not in 1 to %d", to, MaxServer)
	case from == to:
		return fmt.Errorf("server %d: sends to itself", from)
	case boot > MaxBoot:
		return fmt.Errorf("boot id: %d bytes is above %d", boot, MaxBoot)
	case size > limit(kind):
		return fmt.Errorf("kind %d: %d bytes is above %d", kind, size, limit(kind))
	}
	return nil
}

// reader walks over a head whose length has been checked.
type reader struct{ b []byte }

func (r *reader) bytes(n int) []byte {
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// voters reads a list, whose length has not been checked.
func (r *reader) voters() ([]epoch.RaftID, error) {
	if len(r.b) == 0 {
		return nil, errors.New("voters: no list")
	}
	n := int(r.byte())
	if n > MaxVoters || len(r.b) < 8*n {
		return nil, fmt.Errorf("voters: %d announced, %d bytes there, at most %d are possible", n, len(r.b), MaxVoters)
	}
	if n == 0 {
		return nil, nil
	}
	ids := make([]epoch.RaftID, n)
	for i := range ids {
		ids[i] = epoch.RaftID(r.uint64())
	}
	return ids, nil
}

func (r *reader) byte() byte     { return r.bytes(1)[0] }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.bytes(4)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.bytes(8)) }
func (r *reader) epoch() epoch.ID {
	return epoch.ID{Number: r.uint64(), Founder: epoch.RaftID(r.uint64())}
}

func (r *reader) life() node.Life {
	return node.Life{Raft: epoch.RaftID(r.uint64()), Start: r.uint64()}
}
