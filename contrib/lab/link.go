package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// initLink is the lab's end of the socket to a server's init.
type initLink struct {
	conn  net.Conn
	first chan told // init's first word: settled, or why not

	mu      sync.Mutex
	enc     *json.Encoder
	next    int
	waiting map[int]chan told
	procs   map[int]*Process // by pid on the server
	closed  bool
}

func newInitLink() (*initLink, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	mine := os.NewFile(uintptr(fds[0]), "init")
	conn, err := net.FileConn(mine)
	mine.Close()
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	k := &initLink{
		conn: conn, enc: json.NewEncoder(conn), first: make(chan told, 1),
		waiting: map[int]chan told{}, procs: map[int]*Process{},
	}
	k.next, k.waiting[1] = 1, k.first
	go k.read()
	return k, os.NewFile(uintptr(fds[1]), "lab"), nil
}

// read hands out what init says until the socket ends.
func (k *initLink) read() {
	in := json.NewDecoder(k.conn)
	for {
		var t told
		if in.Decode(&t) != nil {
			break
		}
		k.mu.Lock()
		if t.ID != 0 {
			if t.Pid != 0 { // known before anybody can be told that it ended
				t.proc = &Process{PID: t.Pid, link: k, done: make(chan struct{})}
				k.procs[t.Pid] = t.proc
			}
			if ch := k.waiting[t.ID]; ch != nil {
				ch <- t
				delete(k.waiting, t.ID)
			}
		} else if p := k.procs[t.Pid]; p != nil {
			p.end(t.Code)
			delete(k.procs, t.Pid)
		}
		k.mu.Unlock()
	}
	k.close()
}

// close ends every wait; processes that still ran count as killed.
func (k *initLink) close() {
	k.conn.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for id, ch := range k.waiting {
		close(ch)
		delete(k.waiting, id)
	}
	for pid, p := range k.procs {
		p.end(128 + int(unix.SIGKILL))
		delete(k.procs, pid)
	}
}

// isClosed says whether init is gone, or about to be.
func (k *initLink) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

// settled waits until init has made the server's namespaces.
func (k *initLink) settled() error {
	t, err := await(k.first)
	if err == nil && t.Error != "" {
		err = errors.New(t.Error)
	}
	return err
}

// errInitEnded: the server has gone, by itself or by a power cut.
var errInitEnded = errors.New("the server's init has ended")

func await(ch <-chan told) (told, error) {
	select {
	case t, ok := <-ch:
		if !ok {
			return told{}, errInitEnded
		}
		return t, nil
	case <-time.After(bootTimeout):
		return told{}, fmt.Errorf("the server's init has not answered for %s", bootTimeout)
	}
}

func (k *initLink) call(a ask) (told, error) {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return told{}, errInitEnded
	}
	k.next++
	a.ID = k.next
	ch := make(chan told, 1)
	k.waiting[a.ID] = ch
	err := k.enc.Encode(a)
	k.mu.Unlock()
	if err != nil {
		return told{}, err
	}
	t, err := await(ch)
	if err == nil && t.Error != "" {
		err = errors.New(t.Error)
	}
	return t, err
}

// Spec says what to start on a server.
type Spec struct {
	Args []string // Args[0] is the path of the program
	Env  []string // beside PATH
	Dir  string   // "" means /
	Log  string   // name of the log, see Server.LogPath; "" means the program's base name
	// As is who the program runs as; nil: root.
	As *Account
}

// Account is a user of a server.
type Account struct {
	UID, GID int
	Groups   []int // supplementary
}

// Process is a program that the lab has started on a server.
type Process struct {
	PID  int // on the server
	link *initLink
	done chan struct{}
	code int
}

func (p *Process) end(code int) {
	p.code = code
	close(p.done)
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Code is the exit code of a program that has ended, or 128 plus the signal.
func (p *Process) Code() int {
	<-p.done
	return p.code
}

// Wait waits for the program's end and returns its code.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.code, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("process %d has not ended: %w", p.PID, ctx.Err())
	}
}

// Signal sends a signal to the program.
func (p *Process) Signal(sig unix.Signal) error {
	_, err := p.link.call(ask{Signal: int(sig), Pid: p.PID})
	return err
}
