package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTest is how long a daemon may take to accept on a socket that is in our way.
// The kernel accepts by itself, so only a full backlog takes any time at all.
const dialTest = 2 * time.Second

// socketListener is the listening socket together with the file it made, so that
// closing never removes a socket that somebody else has put there since.
type socketListener struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// listenSocket makes the socket file. What is in the way is removed only if it is a
// socket on which nobody listens: a live daemon keeps its own, and anything that is
// no socket is not ours to remove.
func listenSocket(path string, p Permissions) (*socketListener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer unlock()
	if err := clearStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	s := &socketListener{UnixListener: l, path: path}
	if err := s.protect(p); err != nil {
		l.Close()
		os.Remove(path)
		return nil, err
	}
	return s, nil
}

// protect sets owner and mode. The mode only says who may connect; what he may do is
// decided for each connection by its credentials. Between bind and this call the
// umask keeps everybody but the owner out.
func (s *socketListener) protect(p Permissions) error {
	mode := fs.FileMode(0o600)
	switch {
	case p.View >= 0:
		// A file has one group and there are two: everyone may connect, and who is
		// in neither group is told so by the answer.
		mode = 0o666
	case p.Operate >= 0:
		mode = 0o660
	}
	if p.Operate >= 0 {
		if err := os.Lchown(s.path, -1, p.Operate); err != nil && mode == 0o660 {
			mode = 0o600 // not root, not in the group: our own user only
		}
	}
	if err := os.Chmod(s.path, mode); err != nil {
		return fmt.Errorf("socket %s: %w", s.path, err)
	}
	made, err := os.Lstat(s.path)
	if err != nil {
		return fmt.Errorf("socket %s: %w", s.path, err)
	}
	s.made = made
	return nil
}

// Close stops listening and removes the socket file if it is still the one we made.
func (s *socketListener) Close() error {
	if now, err := os.Lstat(s.path); err == nil && s.made != nil && os.SameFile(now, s.made) {
		os.Remove(s.path)
	}
	return s.UnixListener.Close()
}

// clearStale removes the socket of a daemon that is gone.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket %s: %w", path, err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("socket %s: there is a %s that is no socket; move it away or give another --socket", path, kindOf(info))
	}
	c, err := net.DialTimeout("unix", path, dialTest)
	if err == nil {
		defer c.Close()
		return fmt.Errorf("socket %s: in use by %s; stop it or give another --socket", path, listenerOf(c))
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("socket %s: cannot tell whether somebody listens: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("socket %s: %w", path, err)
	}
	return nil
}

func kindOf(info os.FileInfo) string {
	if info.IsDir() {
		return "directory"
	}
	return "file"
}

// listenerOf names the process behind a live socket.
func listenerOf(c net.Conn) string {
	peer, err := peerOf(c)
	if err != nil || peer.PID <= 0 {
		return "another process"
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", peer.PID))
	if err != nil {
		return fmt.Sprintf("process %d", peer.PID)
	}
	return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(comm)), peer.PID)
}

// lockDir keeps two daemons that start together from each taking the other's new
// socket for a stale one. It locks the directory itself, so nothing is left behind.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	// Whoever can read the directory can hold this lock: wait for a short while only.
	for try := 0; ; try++ {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if try == 20 {
			f.Close()
			return nil, fmt.Errorf("directory %s is locked by another process: %w", dir, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
