package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

// medium is the disk as the algorithm uses it, one call at a time.
type medium interface {
	// read fills area from the beginning of the partition.
	read(area []byte) error
	// write puts data (one or two copies) at an offset of the partition and returns
	// when it is there to stay. After an error it may be there, half there, or not.
	write(off int64, data []byte) error
	// pause waits, so that servers that stand in each other's way do not do so for
	// ever. It and the other two end with an error when the caller has given up.
	pause(d time.Duration) error
}

// weakness leaves out rules, to show that the tests notice. Zero in batond.
type weakness uint32

const (
	noLastRead   weakness = 1 << iota // what others did during the second phase is not looked at
	noFirstRead                       // nor what they did during the first
	noOwnRead                         // a restart does not read the own block again
	lowBallot                         // ballots begin anew with every process, above nobody's
	sameBallot                        // ballots are not of one server alone
	ownValue                          // the accepted value of the highest ballot is not taken over
	readUnfit                         // a read tells what is accepted, decided or not
	tornIsEmpty                       // a damaged block counts as one that was never written
	earlyTop                          // what is accepted is recorded as decided
	noRepair                          // a copy that lags behind is not written before the next writing
	noSecondLook                      // a sound copy beside a damaged one is taken at once
	noChecksum                        // a block is believed whatever its checksum says
	noOwnCheck                        // the own block is not compared with what was written
	noMemory                          // what was answered is forgotten
)

// paxos is one server's part in the register. It is used by one goroutine.
type paxos struct {
	self int // number of this server
	m    medium
	weak weakness
	// patience is the first wait after a collision; it doubles with each (up to 32
	// times), and half of it is left to chance.
	patience time.Duration

	area    []byte // scratch for read
	slot    []byte // scratch for write
	disk    ID     // of the last image
	written block  // the newest own block that a write of this process returned for; zero: none
	tried   block  // the newest own block that this process has tried to write
	found   block  // the own block that this process has read last: what a write that failed leaves
	ballot  uint64 // the highest that this process has tried
	// told is the highest epoch that this process has answered with from this disk. A disk
	// that shows less is an older copy, whoever's blocks it lacks.
	told epoch.ID
}

func newPaxos(self int, m medium, area, slot []byte) *paxos {
	return &paxos{self: self, m: m, area: area, slot: slot, patience: 4 * time.Millisecond}
}

// areaSize is what one read needs to see everything.
const areaSize = registerStart + MaxServers*slotSize

// image is what one reading of the disk has shown.
type image struct {
	header  header
	blocks  []block // by server number - 1
	lagging int     // of the own block: copies.lagging
	damaged bool    // a copy of some block is
}

// refusal is a reason to answer no that is not going away by itself.
type refusal string

func (r refusal) Error() string { return string(r) }

// do carries out a call. A refusal is in the answer; an error is none.
func (p *paxos) do(c node.RegisterCall) (node.RegisterAnswer, error) {
	top, err := p.call(c)
	var no refusal
	if errors.As(err, &no) {
		return node.RegisterAnswer{ID: c.ID, Text: string(no)}, nil
	}
	return node.RegisterAnswer{ID: c.ID, Top: top}, err
}

func (p *paxos) call(c node.RegisterCall) (epoch.ID, error) {
	none := epoch.ID{}
	if c.Cluster == 0 {
		return none, refusal("the cluster has no id yet")
	}
	want := c.Claim
	if c.Raise != none {
		want = c.Raise
	}
	for wait := p.patience; ; wait = min(2*wait, 32*p.patience) {
		v, err := p.look()
		if err != nil {
			return none, err
		}
		top, err := p.decided(v, c.Cluster)
		switch {
		case err != nil:
			return none, err
		case p.isOlder(top) && c.Raise != p.told && c.Raise.Number <= p.told.Number: // a leader of that epoch mends it
			return none, fmt.Errorf("the disk shows epoch %v after epoch %v: it has lost that, or is an older copy", top, p.told)
		case top == none && c.Raise == none:
			return none, refusal(fmt.Sprintf("the cluster is not enrolled on disk %v; it is as soon as a leader of it reaches the disk", v.header.disk))
		case want == none || top.Number >= want.Number:
			p.told = top
			return top, nil
		}
		top, won, err := p.round(v, c.Cluster, c.Raise != none, want)
		if err != nil {
			return none, err
		}
		if won {
			p.told = top
			return top, nil
		}
		if err := p.m.pause(wait/2 + rand.N(wait/2+1)); err != nil {
			return none, err
		}
	}
}

// isOlder: the disk shows less than this process has answered with, or another founder.
func (p *paxos) isOlder(top epoch.ID) bool {
	return p.weak&noMemory == 0 && (top.Number < p.told.Number || top.Number == p.told.Number && top != p.told)
}

// decided is the highest epoch that some block records as decided, none where the
// cluster is not enrolled. It refuses a disk that another cluster uses.
func (p *paxos) decided(v image, cluster uint64) (top epoch.ID, err error) {
	for _, b := range v.blocks {
		if b.cluster != 0 && b.cluster != cluster {
			return epoch.ID{}, refusal(fmt.Sprintf(
				"the disk is another cluster's (server %d of cluster %x has written, this is cluster %x); give this one its own, or run baton disk init --force if that cluster is no more",
				b.server, b.cluster, cluster))
		}
		if p.weak&readUnfit != 0 && b.value.Number > top.Number {
			top = b.value
		}
		if b.top.Number > top.Number {
			top = b.top
		}
	}
	return top, nil
}

// round runs one ballot: it makes want the register's value, or keeps the one that
// some ballot may have decided already. It returns the value that is decided, or
// false where another server's ballot was higher.
func (p *paxos) round(v image, cluster uint64, enrol bool, want epoch.ID) (epoch.ID, bool, error) {
	own := v.blocks[p.self-1]
	if p.weak&noOwnRead != 0 {
		own = p.written
		own.server, own.disk = uint32(p.self), v.header.disk
	}
	if v.lagging >= 0 && p.weak&noRepair == 0 {
		own.encode(p.slot)
		if err := p.m.write(slotOf(p.self)+int64(v.lagging)*copySize, p.slot[:copySize]); err != nil {
			return epoch.ID{}, false, err
		}
	}
	own.cluster = cluster
	ballot, err := p.above(v)
	if err != nil {
		return epoch.ID{}, false, err
	}

	// First phase: from now on no lower ballot can pass its second phase without
	// having been seen by this one.
	own.ballot = ballot
	if v, err = p.write(&own); err != nil {
		return epoch.ID{}, false, err
	}
	if v.isBeaten(ballot) && p.weak&noFirstRead == 0 {
		return epoch.ID{}, false, nil
	}
	last := v.accepted()
	if p.weak&ownValue != 0 {
		last = epoch.ID{}
	}
	if last == (epoch.ID{}) && !enrol && p.weak == 0 {
		// Something was decided (or this would not be a claim), and whatever was
		// decided is accepted.
		return epoch.ID{}, false, errors.New("the disk shows a decided epoch that no server has accepted; it has lost what was written")
	}
	value := last
	if want.Number > last.Number {
		value = want
	}

	// Second phase.
	own.accepted, own.value = ballot, value
	if p.weak&earlyTop != 0 {
		own.top = value
	}
	if v, err = p.write(&own); err != nil {
		return epoch.ID{}, false, err
	}
	if v.isBeaten(ballot) && p.weak&noLastRead == 0 {
		return epoch.ID{}, false, nil
	}

	// Decided. The record of it lets reads do without a ballot, so nobody may be told
	// before it is there: a read after that would know less. Where it fails the
	// caller asks again.
	own.top = value
	if _, err := p.write(&own); err != nil {
		return epoch.ID{}, false, err
	}
	return value, true, nil
}

// maxBallot leaves room to count on.
const maxBallot = 1 << 62

// above is a ballot of this server's own, higher than all that are known. Ballots
// are multiples of 32 and the server's number.
func (p *paxos) above(v image) (uint64, error) {
	high := p.ballot
	if p.weak&lowBallot == 0 {
		for _, b := range v.blocks {
			high = max(high, b.ballot)
		}
	}
	if high >= maxBallot {
		return 0, refusal("the disk shows ballots that nobody can have reached by counting; run baton disk init --force")
	}
	p.ballot = (high/32+1)*32 + uint64(p.self)
	if p.weak&sameBallot != 0 {
		p.ballot = (high/32 + 1) * 32
	}
	return p.ballot, nil
}

// isBeaten: some server has begun a higher ballot.
func (v image) isBeaten(ballot uint64) bool {
	for _, b := range v.blocks {
		if b.ballot > ballot {
			return true
		}
	}
	return false
}

// accepted is the value accepted in the highest ballot, none before the first.
func (v image) accepted() (value epoch.ID) {
	high := uint64(0)
	for _, b := range v.blocks {
		if b.accepted > high {
			high, value = b.accepted, b.value
		}
	}
	return value
}

// write puts the own block on the disk, gives it its number, and reads everything
// again: the others' blocks, which is what the phases need, and the own one, which
// must be what was written.
func (p *paxos) write(own *block) (image, error) {
	own.seq = max(own.seq, p.tried.seq, p.written.seq) + 1
	own.encode(p.slot)
	p.tried = *own
	if err := p.m.write(slotOf(p.self), p.slot); err != nil {
		return image{}, err
	}
	p.written, p.found = *own, *own
	return p.look()
}

// rereads is how often a damaged or outdated block is read again before it is taken
// for what it seems: somebody may be writing it right now.
const rereads = 4

// look reads the disk, again where a block was read half written or seems older than
// what this process has written. It reads again, once, also where only one copy is
// damaged: the sound one may have been read long before the damage, and there may have
// been a whole writing in between.
func (p *paxos) look() (v image, err error) {
	for i := range rereads {
		if i > 0 {
			if err := p.m.pause(p.patience); err != nil {
				return image{}, err
			}
		}
		if err := p.m.read(p.area); err != nil {
			return image{}, err
		}
		if v, err = p.parse(); err == nil && (!v.damaged || i > 0 || p.weak&noSecondLook != 0) {
			return v, nil
		}
	}
	return image{}, err
}

// parse reads the area: header, blocks, and whether the own block is the one that it
// must be.
func (p *paxos) parse() (v image, err error) {
	if v.header, err = decodeHeader(p.area); err != nil {
		if errors.Is(err, errNoMagic) {
			return v, refusal("the disk is not a CLUSTER partition (any more); prepare it with: baton disk init DEVICE")
		}
		return v, fmt.Errorf("header: %w", err)
	}
	if p.written.seq > 0 && v.header.disk != p.disk {
		// What was written before is gone with its disk.
		p.written, p.tried, p.found = block{}, block{}, block{}
	}
	if v.header.disk != p.disk {
		p.told = epoch.ID{}
	}
	p.disk = v.header.disk
	if p.self > int(v.header.blocks) {
		return v, refusal(fmt.Sprintf("the disk has blocks for %d servers, this is server %d", v.header.blocks, p.self))
	}
	v.blocks = make([]block, v.header.blocks)
	for i := range v.blocks {
		if slot := p.area[slotOf(i+1):]; p.weak&noChecksum != 0 {
			seal(slot[:copySize])
			seal(slot[copySize:])
		}
		b, c, err := decodeBlock(p.area[slotOf(i+1):])
		switch {
		case err != nil && p.weak&tornIsEmpty != 0:
			b = block{server: uint32(i + 1), disk: v.header.disk}
		case err != nil:
			return v, fmt.Errorf("block of server %d: %w", i+1, err)
		case b.disk != v.header.disk:
			return v, refusal(fmt.Sprintf("block of server %d is from before the last baton disk init; run it once more, with --force", i+1))
		case b.server != uint32(i+1):
			return v, fmt.Errorf("block of server %d is in the place of server %d", b.server, i+1)
		}
		if v.blocks[i] = b; i+1 == p.self {
			v.lagging = c.lagging
		}
		v.damaged = v.damaged || c.damaged
	}
	if p.weak&(noOwnRead|tornIsEmpty|noOwnCheck) != 0 {
		return v, nil
	}
	own := v.blocks[p.self-1]
	if err := p.recognise(own); err != nil {
		return v, err
	}
	p.found = own
	return v, nil
}

// recognise says whether the own block is one that this process can have left there.
func (p *paxos) recognise(own block) error {
	switch {
	case p.tried == (block{}), own == p.written, own == p.tried, own == p.found:
		return nil
	case p.written == (block{}) && own.seq < p.tried.seq:
		return nil // the first write has failed
	case own.seq < p.written.seq:
		return fmt.Errorf("the disk shows writing %d of this server after writing %d was confirmed: it has lost it, or is an older copy", own.seq, p.written.seq)
	}
	return fmt.Errorf("somebody else writes as server %d; two machines have the same number, or two batond run on this one", p.self)
}
