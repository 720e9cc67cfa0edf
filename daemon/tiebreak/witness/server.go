package witness

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"baton/core/epoch"
)

// Key is a cluster's key, as the witness has it.
type Key struct {
	// Owner is the name of the key's file. Registers belong to it: a file may get new
	// keys, but another name is another cluster.
	Owner  string
	Secret []byte
}

// ServerConfig is what a witness must know.
type ServerConfig struct {
	Listen   netip.AddrPort // UDP; the zero address is every one of the host
	StateDir string
	// Keys reads the keys. It is called at the start, then at most once in
	// keysEvery while datagrams come, and sooner when one of an unknown key does. An
	// error after the start leaves things as they are.
	Keys func() ([]Key, error)
	Log  *slog.Logger // nil: the default
}

const (
	keysEvery    = 30 * time.Second
	keysSooner   = time.Second
	challengeAge = time.Second // how long a challenge is good for
	logDropsAt   = time.Minute // at most so often is a reason to drop logged
)

// Server is a witness.
type Server struct {
	cfg    ServerConfig
	log    *slog.Logger
	conn   *net.UDPConn
	store  *store
	secret [32]byte // of this run: makes challenges
	begin  time.Time

	keys     map[hint]keyed
	keysRead time.Time

	mu       sync.Mutex
	drops    map[string]uint64
	answered uint64
	logged   map[string]time.Time // when a reason to drop was last logged
}

type keyed struct {
	owner  string
	sealer *sealer
}

// Serve runs a witness until the context ends. Its errors are those of the start, or
// of a socket that broke.
func Serve(ctx context.Context, cfg ServerConfig) error {
	s, err := Listen(cfg)
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}

// Listen opens the state directory and the socket.
func Listen(cfg ServerConfig) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, begin: time.Now(), drops: map[string]uint64{}, logged: map[string]time.Time{}}
	if s.log == nil {
		s.log = slog.Default()
	}
	rand.Read(s.secret[:])
	if err := s.readKeys(); err != nil {
		return nil, err
	}
	st, damaged, err := openStore(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	s.store = st
	for _, err := range damaged {
		s.log.Error("register is damaged, its cluster is refused; if no server of the cluster can be cut off, remove the file: a leader enrols it again", "error", err)
	}
	if s.conn, err = listen(cfg.Listen); err != nil {
		st.close()
		return nil, err
	}
	return s, nil
}

// Addr is where the witness listens.
func (s *Server) Addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Serve answers until the context ends, then closes everything.
func (s *Server) Serve(ctx context.Context) error {
	defer s.store.close()
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	defer s.conn.Close()
	s.log.Info("witness", "listen", s.Addr(), "keys", len(s.keys), "registers", len(s.store.registers))
	buf, oob := make([]byte, datagramSize+1), make([]byte, 128)
	for {
		n, m, _, from, err := s.conn.ReadMsgUDPAddrPort(buf, oob)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// An ICMP error of an earlier answer, or memory was short. Not a reason
			// to end, nor to spin.
			time.Sleep(time.Millisecond)
			continue
		}
		reply := s.handle(buf[:n], from)
		if reply == nil {
			continue
		}
		// Lost answers are the network's business: the client asks again.
		_, _, _ = s.conn.WriteMsgUDPAddrPort(reply, sourceOf(oob[:m]), from)
	}
}

// handle returns the answer to a datagram, nil where there is none to give.
func (s *Server) handle(b []byte, from netip.AddrPort) []byte {
	if time.Since(s.keysRead) > keysEvery {
		s.rereadKeys()
	}
	h, why := glance(b, kindRequest)
	if why != "" {
		return s.drop(why, from)
	}
	k, ok := s.keys[h]
	if !ok && time.Since(s.keysRead) > keysSooner {
		s.rereadKeys()
		k, ok = s.keys[h]
	}
	if !ok {
		return s.drop(DropKey, from)
	}
	body, err := k.sealer.open(kindRequest, b)
	if err != nil {
		return s.drop(DropForged, from)
	}
	r, err := decodeRequest(body)
	if err != nil {
		return s.drop(DropMalformed, from)
	}
	a := s.do(k.owner, r)
	a.id, a.instance, a.challenge = r.id, s.store.instance, s.newChallenge(k.owner, r.cluster)
	s.mu.Lock()
	s.answered++
	s.mu.Unlock()
	return k.sealer.seal(kindAnswer, a.encode())
}

// do is the register: core/sim/register.go is its model.
func (s *Server) do(owner string, r request) answer {
	reg := s.store.registers[r.cluster]
	switch {
	case reg == nil && r.op != opRaise:
		return answer{status: statusRefused, text: "the cluster is not enrolled; it is as soon as a leader of it reaches the witness"}
	case reg == nil && !s.isFresh(owner, r):
		return answer{status: statusEnrol}
	case reg == nil && s.store.countOf(owner) >= maxRegisters:
		return answer{status: statusRefused, text: fmt.Sprintf("key %q has %d registers, the most there can be; remove those of former clusters at the witness", owner, maxRegisters)}
	case reg == nil:
		reg = &register{owner: owner}
	case reg.damaged != nil:
		return answer{status: statusRefused, text: "the register of the cluster is damaged; see the witness's log"}
	case reg.owner != owner:
		return answer{status: statusRefused, text: fmt.Sprintf("the register of the cluster belongs to the key file %q of the witness, this key is that of %q", reg.owner, owner)}
	}
	if r.op != opRead && r.epoch.Number > reg.top.Number {
		next := register{owner: owner, top: r.epoch}
		if err := s.store.put(r.cluster, next); err != nil {
			s.log.Error("the register cannot be written, the cluster gets no answer", "owner", owner, "error", err)
			return answer{status: statusFailed, text: "the witness cannot write: " + err.Error()}
		}
		s.log.Info("epoch", "owner", owner, "cluster", fmt.Sprintf("%016x", r.cluster), "from", reg.top.Number, "to", r.epoch.Number,
			"founder", r.epoch.Founder.String(), "server", r.server, "claim", r.op == opClaim, "enrolled", reg.top == epoch.ID{})
		reg = &next
	}
	return answer{status: statusOK, top: reg.top}
}

// newChallenge is good for one cluster, one key file and this run.
func (s *Server) newChallenge(owner string, cluster uint64) (c challenge) {
	binary.BigEndian.PutUint64(c[:], uint64(time.Since(s.begin)))
	s.mac(&c, owner, cluster)
	return c
}

func (s *Server) mac(c *challenge, owner string, cluster uint64) {
	m := hmac.New(sha256.New, s.secret[:])
	m.Write(c[:8])
	m.Write(binary.BigEndian.AppendUint64(nil, cluster))
	m.Write([]byte(owner))
	copy(c[8:], m.Sum(nil))
}

// isFresh: the request carries a challenge of this run and of the last second.
func (s *Server) isFresh(owner string, r request) bool {
	want := challenge(r.challenge)
	s.mac(&want, owner, r.cluster)
	age := time.Since(s.begin) - time.Duration(binary.BigEndian.Uint64(r.challenge[:]))
	return hmac.Equal(want[:], r.challenge[:]) && age >= 0 && age <= challengeAge
}

func (s *Server) drop(why string, from netip.AddrPort) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops[why]++
	if last, ok := s.logged[why]; !ok || time.Since(last) > logDropsAt {
		s.logged[why] = time.Now()
		s.log.Warn("datagram dropped", "reason", why, "from", from.Addr().Unmap(), "count", s.drops[why])
	}
	return nil
}

// Drops is how many datagrams were dropped, by reason, and how many answered.
func (s *Server) Drops() (drops map[string]uint64, answered uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	drops = map[string]uint64{}
	for why, n := range s.drops {
		drops[why] = n
	}
	return drops, s.answered
}

func (s *Server) rereadKeys() {
	if err := s.readKeys(); err != nil {
		s.log.Error("keys cannot be read again, those of before stay", "error", err)
	}
}

func (s *Server) readKeys() error {
	s.keysRead = time.Now()
	all, err := s.cfg.Keys()
	if err != nil {
		return err
	}
	keys := map[hint]keyed{}
	for _, k := range all {
		sealer, err := newSealer(k.Secret)
		if err != nil {
			return err
		}
		if other, ok := keys[sealer.hint]; ok && other.owner != k.Owner {
			return fmt.Errorf("key files %q and %q have the same key; give each cluster its own", other.owner, k.Owner)
		}
		keys[sealer.hint] = keyed{k.Owner, sealer}
	}
	if len(keys) == 0 {
		return errors.New("no key: the witness would serve nobody; copy the key file of each cluster there, as NAME.key")
	}
	s.keys = keys
	return nil
}
