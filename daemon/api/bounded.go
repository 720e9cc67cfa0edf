package api

import (
	"net"
	"sync"
)

// maxConnsPerUser bounds what a local user can make batond hold. A console needs two
// connections. It is counted for each user, so that nobody can keep root out. As many
// again are let in to be told so (a client that is cut off without a word takes it
// for a dead daemon), and those above are cut off.
const maxConnsPerUser = 64

// boundedListener accepts connections of users who do not have too many already, and
// knows who each one is.
type boundedListener struct {
	net.Listener
	mu   sync.Mutex
	open map[int]int // connections by uid
}

func newBoundedListener(l net.Listener) *boundedListener {
	return &boundedListener{Listener: l, open: map[int]int{}}
}

// boundedConn is a connection and who is at its other end.
type boundedConn struct {
	net.Conn
	peer    Peer
	tooMany bool // to be answered with too-busy only
	once    sync.Once
	from    *boundedListener
}

// Accept is called by the HTTP server's one accepting goroutine.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(c)
		if err != nil {
			c.Close() // gone again, or no credentials: nobody to talk to
			continue
		}
		n := l.count(peer.UID, 1)
		b := &boundedConn{Conn: c, peer: peer, tooMany: n > maxConnsPerUser, from: l}
		if n > 2*maxConnsPerUser {
			b.Close()
			continue
		}
		return b, nil
	}
}

// count adds to the number of a user's connections and returns it.
func (l *boundedListener) count(uid, add int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.open[uid] + add
	if l.open[uid] = n; n == 0 {
		delete(l.open, uid)
	}
	return n
}

// Close may be called more than once; the HTTP server does.
func (c *boundedConn) Close() error {
	c.once.Do(func() { c.from.count(c.peer.UID, -1) })
	return c.Conn.Close()
}
