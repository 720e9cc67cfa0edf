package api

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// maxConnsPerUser bounds what a local user can make batond hold. A console needs two
// connections. It is counted for each user, so that nobody can keep root out.
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
	peer Peer
	once sync.Once
	from *boundedListener
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
		if l.take(peer.UID) {
			return &boundedConn{Conn: c, peer: peer, from: l}, nil
		}
		// He is told so: a client that waits without a word looks like a dead daemon.
		c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"+
			`{"code":"too-busy","message":"%d connections of this user are open, that is the limit","hint":"close consoles that nobody looks at"}`+"\n", maxConnsPerUser)
		c.Close()
	}
}

func (l *boundedListener) take(uid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid] >= maxConnsPerUser {
		return false
	}
	l.open[uid]++
	return true
}

func (l *boundedListener) give(uid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid]--; l.open[uid] == 0 {
		delete(l.open, uid)
	}
}

func (c *boundedConn) Close() error {
	c.once.Do(func() { c.from.give(c.peer.UID) })
	return c.Conn.Close()
}
