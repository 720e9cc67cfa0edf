package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Baton is a run of the program baton on a server.
type Baton struct {
	As  *Account // nil: root
	Env []string // beside PATH and BATON_SOCKET
}

var batonRuns atomic.Int64

// Run runs baton on the server to its end, and returns what it has written, standard
// output and errors as they came, and its exit code. One that goes with its server, which
// it may have ended itself, was killed: 137.
func (b Baton) Run(ctx context.Context, s *Server, args ...string) (text string, code int, err error) {
	path, err := Build("baton/tui")
	if err != nil {
		return "", 0, err
	}
	if b.As != nil {
		if path, err = s.share(path); err != nil {
			return "", 0, err
		}
	}
	log := fmt.Sprintf("baton-%d", batonRuns.Add(1))
	defer os.Remove(s.LogPath(log))
	p, err := s.Start(Spec{Args: append([]string{path}, args...), Env: append([]string{"BATON_SOCKET=" + SocketPath}, b.Env...), Log: log, As: b.As})
	switch {
	case errors.Is(err, errInitEnded): // before init could say that it had started it
		return "", 128 + int(unix.SIGKILL), nil
	case err != nil:
		return "", 0, err
	}
	code, err = p.Wait(ctx)
	out, _ := os.ReadFile(s.LogPath(log))
	return string(out), code, err
}

// share puts a program where every user of the server can reach it, and returns the
// path there: the lab's own directory is its owner's alone.
func (s *Server) share(path string) (string, error) {
	name := filepath.Base(path) + ".bin"
	there := filepath.Join(RunDir, name)
	if _, err := os.Stat(s.Path(name)); err == nil {
		return there, nil
	}
	from, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(s.Path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return "", err
	}
	return there, to.Close()
}
