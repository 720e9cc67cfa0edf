// Package witness is the tie-breaker on a third host: Serve is that host's part
// (batond --witness), a register of epochs for each of any number of clusters; Client
// is a server's part. What they say to each other is a datagram and its answer.
//
// A witness has no vote and no part in a cluster's doings. It keeps the highest epoch
// and its founder, which only grows, so each number is given to one founder at most,
// and it says nothing before its disk has it.
//
// Who may write. Requests are sealed with a key derived from the cluster key, and a
// register belongs to the key file by which it was enrolled: a cluster reaches its own
// registers only. A witness without a register for a cluster refuses (rule T1); it is
// made by a leader's Raise, and only by a fresh one, see below.
//
// Old datagrams. An answer repeats the number that its request drew at random, so an
// old answer fits no call. An old request that comes again asks for what was asked for
// once and changes nothing: a register that knows the epoch has it already, or a
// higher one. The one exception is a witness that was wiped, to which an old Raise
// would look like a leader and which would then give out a second time what came after
// that Raise. So an unknown cluster is enrolled only by a Raise that carries a
// challenge of this very run of the witness, for this cluster, of the last second;
// a client takes it from an answer and uses it at once, within one call of the leader's
// loop. What was recorded or held up before the witness was wiped has none.
//
// Client: the event loop's goroutines call Do. Server: main calls Serve, which uses
// one goroutine for all requests: a hung disk of the witness delays everybody, and
// delay is not wrong.
package witness

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"baton/core/epoch"

	"golang.org/x/crypto/chacha20poly1305"
)

// DefaultPort is that of baton's servers and one.
const DefaultPort = 22861

// A datagram, in bytes. Requests and answers are of one size, so that whoever replays
// a request with a false sender gains nothing by it.
//
//	 0  version
//	 1  kind: request or answer
//	 2  hint, 8: tells the key without telling anything of it
//	10  nonce, 24: random
//	34  sealed body, and 16 of tag
//
// The keys, one for each direction, and the hint are HKDF-SHA256 of the cluster key.
// Everything before the nonce is authenticated with the body. The cipher is
// XChaCha20-Poly1305, whose nonces may be drawn at random.
const (
	version      = 1
	kindRequest  = 1
	kindAnswer   = 2
	hintSize     = 8
	headSize     = 2 + hintSize
	bodyStart    = headSize + chacha20poly1305.NonceSizeX
	bodySize     = 256
	datagramSize = bodyStart + bodySize + chacha20poly1305.Overhead
)

type (
	hint     [hintSize]byte
	callID   [16]byte // of one request, random
	instance [16]byte // of one state directory of a witness, random
)

// A challenge is the time of a run of the witness and a MAC that only that run can
// make.
type challenge [24]byte

type operation byte

const (
	opRead  operation = 1
	opClaim operation = 2
	opRaise operation = 3
)

// request is what a server asks.
type request struct {
	id        callID
	cluster   uint64
	op        operation
	server    byte     // number of the asking server; for the witness's log
	epoch     epoch.ID // claim, raise
	challenge challenge
}

type status byte

const (
	statusOK      status = 1
	statusRefused status = 2 // and will be until somebody does something; text says what
	statusFailed  status = 3 // the witness could not do its work; as good as no answer
	statusEnrol   status = 4 // not enrolled: a Raise with this answer's challenge would do it
)

// answer is what the witness says.
type answer struct {
	id        callID
	status    status
	top       epoch.ID
	instance  instance
	challenge challenge // fresh
	text      string
}

const maxText = bodySize - (16 + 1 + 16 + 16 + 24 + 1)

func (r *request) encode() []byte {
	be := binary.BigEndian
	b := make([]byte, 0, bodySize)
	b = append(b, r.id[:]...)
	b = be.AppendUint64(b, r.cluster)
	b = append(b, byte(r.op), r.server)
	b = be.AppendUint64(b, r.epoch.Number)
	b = be.AppendUint64(b, uint64(r.epoch.Founder))
	b = append(b, r.challenge[:]...)
	return b[:bodySize]
}

var errMalformed = errors.New("malformed")

func decodeRequest(b []byte) (r request, err error) {
	const size = 16 + 8 + 2 + 16 + 24
	if len(b) != bodySize || !isZero(b[size:]) {
		return r, errMalformed
	}
	be := binary.BigEndian
	r = request{
		id: callID(b), cluster: be.Uint64(b[16:]), op: operation(b[24]), server: b[25],
		epoch:     epoch.ID{Number: be.Uint64(b[26:]), Founder: epoch.RaftID(be.Uint64(b[34:]))},
		challenge: challenge(b[42:]),
	}
	switch {
	case r.op < opRead || r.op > opRaise, r.cluster == 0:
		return request{}, errMalformed
	case (r.op == opRead) != (r.epoch == epoch.ID{}), r.op != opRead && r.epoch.Number == 0:
		return request{}, errMalformed
	}
	return r, nil
}

func (a *answer) encode() []byte {
	be := binary.BigEndian
	text := a.text
	if len(text) > maxText {
		text = text[:maxText]
	}
	b := make([]byte, 0, bodySize)
	b = append(b, a.id[:]...)
	b = append(b, byte(a.status))
	b = be.AppendUint64(b, a.top.Number)
	b = be.AppendUint64(b, uint64(a.top.Founder))
	b = append(b, a.instance[:]...)
	b = append(b, a.challenge[:]...)
	b = append(b, byte(len(text)))
	b = append(b, text...)
	return b[:bodySize]
}

func decodeAnswer(b []byte) (a answer, err error) {
	const size = bodySize - maxText
	if len(b) != bodySize {
		return a, errMalformed
	}
	be := binary.BigEndian
	n := int(b[size-1])
	if n > maxText || !isZero(b[size+n:]) {
		return a, errMalformed
	}
	a = answer{
		id: callID(b), status: status(b[16]),
		top:      epoch.ID{Number: be.Uint64(b[17:]), Founder: epoch.RaftID(be.Uint64(b[25:]))},
		instance: instance(b[33:]), challenge: challenge(b[49:]), text: string(b[size : size+n]),
	}
	if a.status < statusOK || a.status > statusEnrol {
		return answer{}, errMalformed
	}
	return a, nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// sealer seals and opens with one cluster key.
type sealer struct {
	hint   hint
	cipher [kindAnswer + 1]cipher.AEAD // by kind
}

func newSealer(key []byte) (*sealer, error) {
	s := &sealer{}
	for kind, info := range map[int]string{kindRequest: "baton witness 1 request", kindAnswer: "baton witness 1 answer"} {
		k, err := hkdf.Key(sha256.New, key, nil, info, chacha20poly1305.KeySize)
		if err != nil {
			return nil, err
		}
		if s.cipher[kind], err = chacha20poly1305.NewX(k); err != nil {
			return nil, err
		}
	}
	h, err := hkdf.Key(sha256.New, key, nil, "baton witness 1 hint", hintSize)
	if err != nil {
		return nil, err
	}
	s.hint = hint(h)
	return s, nil
}

// seal makes a datagram of a body.
func (s *sealer) seal(kind byte, body []byte) []byte {
	b := make([]byte, 0, datagramSize)
	b = append(b, version, kind)
	b = append(b, s.hint[:]...)
	b = b[:bodyStart]
	rand.Read(b[headSize:bodyStart]) // never fails: it ends the process instead
	return s.cipher[kind].Seal(b, b[headSize:bodyStart], body, b[:headSize])
}

// Reasons to drop a datagram. A dropped one is counted by its reason and not answered.
const (
	DropSize      = "size"        // not the size of ours: truncated, or something else
	DropVersion   = "version"     // of another version
	DropKind      = "kind"        // an answer where a request belongs, or the other way round
	DropKey       = "unknown key" // of a cluster that is not known here
	DropForged    = "forged"      // the seal is broken
	DropMalformed = "malformed"   // sealed rightly, and nonsense
	DropStale     = "stale"       // client: answers no open call
)

// glance looks at what travels in clear, and returns why to drop the datagram.
func glance(b []byte, kind byte) (h hint, drop string) {
	switch {
	case len(b) != datagramSize:
		return h, DropSize
	case b[0] != version:
		return h, DropVersion
	case b[1] != kind:
		return h, DropKind
	}
	return hint(b[2:]), ""
}

// open returns the body of a datagram that glance has let through.
func (s *sealer) open(kind byte, b []byte) ([]byte, error) {
	body, err := s.cipher[kind].Open(nil, b[headSize:bodyStart], b[bodyStart:], b[:headSize])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", DropForged, err)
	}
	return body, nil
}
