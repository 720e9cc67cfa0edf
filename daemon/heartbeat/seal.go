package heartbeat

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"baton/core/node"
	"baton/daemon/link"
	"baton/daemon/wire"

	"golang.org/x/crypto/chacha20poly1305"
)

// A datagram, in bytes. The head travels in clear and is authenticated.
//
//	 0  version
//	 1  number of the sender
//	 2  number of the receiver
//	 3  index of the path
//	 4  salt, 16: random, of this run of the sender
//	20  sequence, 8: from 1, of this path and receiver
//	28  sealed message (package wire), and 16 of tag
//
// The key is HKDF-SHA256 of the cluster key with the salt, and the purpose, the
// cluster's name and the sender as info: no two runs share a key. The nonce is
// receiver, path and sequence: no two datagrams of a run share a nonce.
const (
	sealVersion = 1
	saltSize    = 16
	headSize    = 4 + saltSize + 8
	overhead    = headSize + chacha20poly1305.Overhead
	minDatagram = overhead + 1
)

// A message that package wire takes for a datagram must fit with its seal.
var _ [wire.SealRoom - overhead]struct{}

type salt [saltSize]byte

// head is the part of a datagram that travels in clear.
type head struct {
	sender, receiver, path int
	salt                   salt
	seq                    uint64
}

func (h *head) append(b []byte) []byte {
	b = append(b, sealVersion, byte(h.sender), byte(h.receiver), byte(h.path))
	b = append(b, h.salt[:]...)
	return binary.BigEndian.AppendUint64(b, h.seq)
}

// parseHead reads the head of a datagram of minDatagram bytes at least.
func parseHead(b []byte) head {
	return head{
		sender: int(b[1]), receiver: int(b[2]), path: int(b[3]),
		salt: salt(b[4 : 4+saltSize]), seq: binary.BigEndian.Uint64(b[4+saltSize:]),
	}
}

func (h *head) nonce(b *[chacha20poly1305.NonceSize]byte) {
	b[0], b[1] = byte(h.receiver), byte(h.path)
	binary.BigEndian.PutUint64(b[4:], h.seq)
}

// deriveKey gives the cipher of one run of one sender.
func deriveKey(key []byte, s salt, cluster string, sender int) (cipher.AEAD, error) {
	// The cluster's name stands between parts of known length: no two inputs give
	// the same info.
	info := "baton heartbeat 1\x00" + cluster + string([]byte{byte(sender)})
	k, err := hkdf.Key(sha256.New, key, s[:], info, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.New(k)
}

// sealer seals what this run of this server sends.
type sealer struct {
	aead  cipher.AEAD
	self  int
	salt  salt
	nonce [chacha20poly1305.NonceSize]byte // scratch
}

// newSalt draws the salt of a run.
func newSalt() (s salt) {
	rand.Read(s[:]) // never fails: it ends the process instead
	return s
}

func newSealer(key []byte, salt salt, cluster string, self int) (*sealer, error) {
	aead, err := deriveKey(key, salt, cluster, self)
	return &sealer{aead: aead, self: self, salt: salt}, err
}

// seal appends the datagram to b. A sequence must never be used twice for a path and
// receiver.
func (s *sealer) seal(b []byte, receiver, path int, seq uint64, plain []byte) []byte {
	h := head{sender: s.self, receiver: receiver, path: path, salt: s.salt, seq: seq}
	b = h.append(b)
	h.nonce(&s.nonce)
	return s.aead.Seal(b, s.nonce[:], plain, b[len(b)-headSize:])
}

// keepRuns is how many runs of one sender the opener knows at a time. One is enough
// while nobody plays back old recordings: the run that was heard least lately goes.
const keepRuns = 4

// opener opens what the other servers send. It is safe for use by several
// goroutines.
//
// What it holds is bounded, and only genuine datagrams change it: a forged one costs
// a derivation per cluster key and leaves no trace.
type opener struct {
	keys    [][]byte
	cluster string
	self    int

	mu      sync.Mutex
	clock   uint64      // counts genuine datagrams
	senders [][]*run    // by number; each at most keepRuns
	newest  []node.Life // by number: life of the run that was met last
}

// run is one run of batond on a sender, as far as it has been heard.
type run struct {
	salt    salt
	aead    cipher.AEAD
	used    uint64 // opener.clock at its last datagram
	windows [link.MaxPaths]wire.Window
}

// windowSize is how far behind the newest sequence an older one is still taken. A
// path carries some ten datagrams a second per pair: 256 is twenty seconds, and what
// is that late is of no use.
const windowSize = 256

func newOpener(keys [][]byte, cluster string, self, servers int) *opener {
	return &opener{
		keys: keys, cluster: cluster, self: self,
		senders: make([][]*run, servers+1), newest: make([]node.Life, servers+1),
	}
}

// open opens a datagram that came on a path. It returns the message, its sequence
// and its run, or why it is none.
func (o *opener) open(path int, b []byte) (node.Message, uint64, *run, drop) {
	var none node.Message
	switch {
	case len(b) < minDatagram:
		return none, 0, nil, dropShort
	case len(b) > wire.MaxDatagram:
		return none, 0, nil, dropLong
	case b[0] != sealVersion:
		return none, 0, nil, dropVersion
	}
	h := parseHead(b)
	switch {
	case h.sender < 1 || h.sender >= len(o.senders) || h.sender == o.self:
		return none, 0, nil, dropUnknownServer
	case h.receiver != o.self:
		return none, 0, nil, dropWrongReceiver
	case h.path != path:
		return none, 0, nil, dropWrongPath
	}

	o.mu.Lock()
	known := o.find(&h)
	if known != nil && !known.windows[path].Fresh(h.seq) {
		o.mu.Unlock()
		return none, 0, nil, dropReplayed // without the work of opening it
	}
	o.mu.Unlock()

	plain, aead := o.decrypt(&h, known, b)
	if plain == nil {
		return none, 0, nil, dropForged
	}
	m, err := wire.Decode(plain)
	if err != nil {
		return none, 0, nil, dropMalformed
	}
	if m.From != h.sender || m.To != h.receiver || !wire.Datagram(m.Kind) {
		return none, 0, nil, dropMismatch
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.find(&h) // again: another path may have met the run meanwhile
	if r == nil {
		if newest := o.newest[h.sender]; m.Life.Raft == newest.Raft && m.Life.Start < newest.Start {
			return none, 0, nil, dropOldRun
		}
		o.newest[h.sender] = m.Life
		r = o.insert(&h, aead)
	}
	if !r.windows[path].Accept(h.seq) {
		return none, 0, nil, dropReplayed
	}
	o.clock++
	r.used = o.clock
	return m, h.seq, r, accepted
}

// decrypt returns nil for what none of the keys has sealed.
func (o *opener) decrypt(h *head, known *run, b []byte) ([]byte, cipher.AEAD) {
	var nonce [chacha20poly1305.NonceSize]byte
	h.nonce(&nonce)
	try := func(a cipher.AEAD) []byte {
		// Not in place: another key may have to try the same bytes.
		plain, err := a.Open(make([]byte, 0, len(b)), nonce[:], b[headSize:], b[:headSize])
		if err != nil {
			return nil
		}
		return plain
	}
	if known != nil {
		return try(known.aead), known.aead
	}
	for _, key := range o.keys {
		a, err := deriveKey(key, h.salt, o.cluster, h.sender)
		if err != nil {
			continue
		}
		if plain := try(a); plain != nil {
			return plain, a
		}
	}
	return nil, nil
}

func (o *opener) find(h *head) *run {
	for _, r := range o.senders[h.sender] {
		if r.salt == h.salt {
			return r
		}
	}
	return nil
}

// insert adds a run whose first datagram has proved genuine, in the place of the one
// that was heard least lately if there are too many.
func (o *opener) insert(h *head, a cipher.AEAD) *run {
	r := &run{salt: h.salt, aead: a}
	for i := range r.windows {
		r.windows[i] = wire.NewWindow(windowSize)
	}
	runs := o.senders[h.sender]
	if len(runs) < keepRuns {
		o.senders[h.sender] = append(runs, r)
		return r
	}
	oldest := 0
	for i := range runs {
		if runs[i].used < runs[oldest].used {
			oldest = i
		}
	}
	runs[oldest] = r
	return r
}
