package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// maxFailures is how often in a row batond may end by an error under one session. Where
// its state directory has no room, say, each life of it may extend the lease and get no
// further, for ever: a step that it has been given stays undone, and no other server may
// do it. So the next batond does not go on with that session. It clears the groups, and
// they are taken over.
const maxFailures = 3

// failures counts the ends of batond by an error, in a file beside the guard's page: the
// disk of the state directory may be what fails.
type failures struct{ file string }

// of is how often in a row batond has ended by an error under a session.
func (f failures) of(session uint64) int {
	text, err := os.ReadFile(f.file)
	if err != nil {
		return 0
	}
	var of uint64
	var times int
	if _, err := fmt.Sscan(string(text), &of, &times); err != nil || of != session {
		return 0
	}
	return times
}

// add counts one more, of a life that lasted so long; a long one begins a new row. long is
// how long that is.
func (f failures) add(session uint64, lasted, long time.Duration) error {
	times := 1
	if lasted < long {
		times += f.of(session)
	}
	return os.WriteFile(f.file, fmt.Appendf(nil, "%d %d\n", session, times), 0o600)
}

// isFailure says whether batond has ended by an error, and not because somebody wanted
// it to end.
func isFailure(err error) bool {
	return err != nil && !errors.Is(err, errReload) && !errors.Is(err, errAtOnce) && !errors.As(err, new(lastAct))
}
