// Package disk is the tie-breaker on a shared disk: a register of epochs on the
// CLUSTER partition, kept by Disk Paxos (Gafni and Lamport, "Disk Paxos", Distributed
// Computing 16, 2003; technical report 2000) with one disk and a block for each
// server. It also prepares such a partition (Init).
//
// A single value is rewritten under ever higher ballots, each new value computed from
// the one before (Rystsov, "CASPaxos: Replicated State Machines without logs", 2018),
// so that one pair of ballots is enough for all epochs: nothing has to be told apart
// by epoch, and nothing is ever reset. The value is the highest epoch and its founder
// and only grows, so each number is given to one founder at most.
//
// Beat is the heartbeat over the same partition. It is not part of the register.
//
// What it does not do: it does not decide who may claim (package node does).
//
// The event loop's goroutines call Register; all I/O is done by one goroutine of the
// register on a thread of its own, one call at a time, so that a disk that hangs
// holds one thread and nothing else.
package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"baton/core/epoch"
)

// The partition, in bytes:
//
//	     0  header, two copies of 4096
//	  8192  register: for each server a block of two copies of 4096
//	524288  heartbeats: for each server a block of 4096 (beat.go)
//	1048576 end
//
// A copy's content is in its first 512 bytes, the smallest sector there is, and is
// therefore written whole or not at all; the rest of the 4096 bytes is zero, so that
// no disk has to read a physical sector in order to change a part of it. Both copies
// are written by one call: where a power cut damages one, the other holds what was
// there before or what was to be there, and since the call had not returned, nobody
// was promised anything by it. Before the next call the copy that lags behind is
// written alone, so that there is always a sound one. A block of which both copies are damaged is not taken
// for an empty one: it may have held the only record of an epoch.
const (
	copySize      = 4096
	slotSize      = 2 * copySize
	contentSize   = 512
	registerStart = slotSize
	beatStart     = 512 << 10
	// Size is the least size of a CLUSTER partition.
	Size = 1 << 20
	// MaxServers is the number of blocks that Init makes.
	MaxServers = 16
)

// The heartbeats' blocks fit between the register and the end.
var (
	_ [beatStart - (registerStart + MaxServers*slotSize)]struct{}
	_ [Size - (beatStart + MaxServers*copySize)]struct{}
)

const formatVersion = 1

var (
	headerMagic = [8]byte{'B', 'A', 'T', 'O', 'N', 'C', 'L', 'U'}
	blockMagic  = [8]byte{'B', 'A', 'T', 'O', 'N', 'B', 'L', 'K'}
)

// ID is a random number that Init gives to a partition. Blocks carry it, so that what
// was written before the last Init is told from what was written after.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:4]) }

// header describes the partition. Only Init writes it.
type header struct {
	disk   ID
	sector uint32 // logical sector size that Init found, in bytes; for people
	blocks uint32 // number of blocks, 1 to MaxServers
	made   int64  // unix seconds; for people
}

// block is what one server has written. Only that server writes it.
type block struct {
	server uint32 // 1 to 16
	disk   ID
	// cluster is the id of the cluster that uses the partition; 0 as long as this
	// server has not written.
	cluster uint64
	// seq grows by one with each writing, from 0 (Init).
	seq uint64
	// ballot is the highest that this server has begun (mbal in the paper).
	ballot uint64
	// accepted is the ballot in which this server has accepted value (bal, inp); 0
	// and none before the first.
	accepted uint64
	value    epoch.ID
	// top is the highest epoch that this server knows to be decided. It is never
	// higher than value.
	top epoch.ID
}

var (
	errDamaged = errors.New("checksum is wrong")
	errNoMagic = errors.New("not a CLUSTER partition")
)

// seal puts the checksum behind the fields.
func seal(b []byte) {
	sum := sha256.Sum256(b[:contentSize-sha256.Size])
	copy(b[contentSize-sha256.Size:], sum[:])
}

func isSealed(b []byte) bool {
	return sha256.Sum256(b[:contentSize-sha256.Size]) == [sha256.Size]byte(b[contentSize-sha256.Size:contentSize])
}

// isRestZero: from offset n to the checksum there is nothing.
func isRestZero(b []byte, n int) bool {
	for _, c := range b[n : contentSize-sha256.Size] {
		if c != 0 {
			return false
		}
	}
	return true
}

// encode writes the two copies into slot, slotSize bytes.
func (h header) encode(slot []byte) {
	clear(slot)
	copy(slot, headerMagic[:])
	be := binary.BigEndian
	be.PutUint32(slot[8:], formatVersion)
	be.PutUint32(slot[12:], h.sector)
	be.PutUint32(slot[16:], h.blocks)
	copy(slot[20:], h.disk[:])
	be.PutUint64(slot[36:], uint64(h.made))
	seal(slot)
	copy(slot[copySize:], slot[:copySize])
}

// decodeHeader reads a slot. errNoMagic: there is something else, or nothing.
func decodeHeader(slot []byte) (header, error) {
	h, err := decodeHeaderCopy(slot)
	if err != nil {
		if second, err := decodeHeaderCopy(slot[copySize:]); err == nil {
			return second, nil
		}
	}
	return h, err
}

func decodeHeaderCopy(b []byte) (h header, err error) {
	be := binary.BigEndian
	switch {
	case [8]byte(b) != headerMagic:
		return h, errNoMagic
	case !isSealed(b):
		return h, errDamaged
	case be.Uint32(b[8:]) != formatVersion:
		return h, fmt.Errorf("format %d, this baton knows %d", be.Uint32(b[8:]), formatVersion)
	}
	h = header{
		sector: be.Uint32(b[12:]), blocks: be.Uint32(b[16:]), disk: ID(b[20:36]), made: int64(be.Uint64(b[36:])),
	}
	if h.blocks < 1 || h.blocks > MaxServers || h.disk == (ID{}) || !isRestZero(b, 44) {
		return header{}, errDamaged
	}
	return h, nil
}

// madeAt is when Init was run.
func (h header) madeAt() time.Time { return time.Unix(h.made, 0) }

// encode writes the two copies into slot, slotSize bytes.
func (k block) encode(slot []byte) {
	clear(slot)
	copy(slot, blockMagic[:])
	be := binary.BigEndian
	be.PutUint32(slot[8:], formatVersion)
	be.PutUint32(slot[12:], k.server)
	copy(slot[16:], k.disk[:])
	for i, v := range []uint64{
		k.cluster, k.seq, k.ballot, k.accepted, k.value.Number, uint64(k.value.Founder), k.top.Number, uint64(k.top.Founder),
	} {
		be.PutUint64(slot[32+8*i:], v)
	}
	seal(slot)
	copy(slot[copySize:], slot[:copySize])
}

// copies says how the two copies of a block differ.
type copies struct {
	// lagging is the copy (0 or 1) that is not the same as the newer sound one; -1:
	// both are the same.
	lagging int
	// damaged: the lagging copy cannot be read at all.
	damaged bool
}

// decodeBlock reads a slot: the newer of its sound copies.
func decodeBlock(slot []byte) (k block, c copies, err error) {
	a, errA := decodeBlockCopy(slot)
	b, errB := decodeBlockCopy(slot[copySize:])
	switch {
	case errA != nil || errB == nil && b.seq > a.seq:
		return b, copies{0, errA != nil}, errB
	case errB != nil || a != b:
		return a, copies{1, errB != nil}, nil
	}
	return a, copies{lagging: -1}, nil
}

func decodeBlockCopy(b []byte) (k block, err error) {
	be := binary.BigEndian
	if [8]byte(b) != blockMagic || !isSealed(b) || be.Uint32(b[8:]) != formatVersion {
		return k, errDamaged
	}
	at := func(i int) uint64 { return be.Uint64(b[32+8*i:]) }
	k = block{
		server: be.Uint32(b[12:]), disk: ID(b[16:32]), cluster: at(0), seq: at(1), ballot: at(2), accepted: at(3),
		value: epoch.ID{Number: at(4), Founder: epoch.RaftID(at(5))}, top: epoch.ID{Number: at(6), Founder: epoch.RaftID(at(7))},
	}
	if !k.isPossible() || !isRestZero(b, 96) {
		return block{}, errDamaged
	}
	return k, nil
}

// isPossible holds for every block that the algorithm writes.
func (k block) isPossible() bool {
	switch {
	case k.server < 1 || k.server > MaxServers:
		return false
	case k.accepted > k.ballot || k.top.Number > k.value.Number:
		return false
	case (k.accepted == 0) != (k.value == epoch.ID{}):
		return false
	case k.ballot > 0 && (k.cluster == 0 || k.seq == 0):
		return false
	}
	return true
}

// slotOf is where the block of a server begins.
func slotOf(server int) int64 { return registerStart + int64(server-1)*slotSize }
