package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Run is one run of a group's script.
type Run struct {
	Group, Kind, Server string
	Begin, End          time.Duration // the lab's CLOCK_BOOTTIME, to 10 ms; End 0: it never came to its end
	Code                int
	Event, Factor       string // ARMS_EVENT and ARMS_FACTOR
	Home, Disk          string // ARMS_SERVER and ARMS_DISK
	Priority, Token     string
	// Order are the numbers of its lines in the journal, which all servers share; the
	// second is 0 where End is.
	Order [2]int
	id    string
}

func (r Run) String() string {
	what := r.Event
	if r.Factor != "" {
		what += "/" + r.Factor
	}
	return fmt.Sprintf("%s %s on %s (%s)", r.Kind, r.Group, r.Server, what)
}

// Journal is every run so far, by its beginning.
func (l *Lab) Journal() ([]Run, error) {
	text, err := os.ReadFile(l.JournalPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []Run
	byID := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		f := strings.Fields(line)
		if len(f) < 6 {
			return nil, fmt.Errorf("journal line %d: %q", i+1, line)
		}
		at, err := journalTime(f[4])
		if err != nil {
			return nil, fmt.Errorf("journal line %d: %w", i+1, err)
		}
		values := map[string]string{}
		for _, kv := range f[6:] {
			k, v, _ := strings.Cut(kv, "=")
			values[k] = v
		}
		switch f[0] {
		case "begin":
			byID[f[5]] = len(runs)
			runs = append(runs, Run{
				Group: f[1], Kind: f[2], Server: f[3], Begin: at, id: f[5], Order: [2]int{i + 1, 0},
				Event: values["event"], Factor: values["factor"], Home: values["server"], Disk: values["disk"],
				Priority: values["priority"], Token: values["token"],
			})
		case "end":
			n, ok := byID[f[5]]
			if !ok {
				return nil, fmt.Errorf("journal line %d: the end of a run that has not begun: %q", i+1, line)
			}
			runs[n].End, runs[n].Order[1] = at, i+1
			runs[n].Code, _ = strconv.Atoi(values["code"])
		}
	}
	return runs, nil
}

// journalTime reads UP-AHEAD: the time on a server's own clock and how many seconds that
// one is ahead of the lab's; AHEAD may be negative.
func journalTime(text string) (time.Duration, error) {
	up, ahead, _ := strings.Cut(text, "-")
	at, err := time.ParseDuration(up + "s")
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseInt(ahead, 10, 64)
	return at - time.Duration(seconds)*time.Second, err
}

// Environment is everything that a run had in its environment, as the shell's
// export -p prints it.
func (l *Lab) Environment(r Run) (string, error) {
	text, err := os.ReadFile(filepath.Join(l.dir, "env", r.id))
	return string(text), err
}

// overlappingRuns finds two runs of one group's scripts on two servers at one time.
// RECOVER runs are meant to be beside a running group; a run that was killed has no
// end and says nothing.
func overlappingRuns(runs []Run) error {
	var errs []error
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if a.Group != b.Group || a.Server == b.Server || a.Event == "RECOVER" || b.Event == "RECOVER" {
				continue
			}
			if a.Order[1] != 0 && b.Order[0] < a.Order[1] {
				errs = append(errs, fmt.Errorf("scripts of one group at once: %s had not ended when %s began", a, b))
			}
		}
	}
	return errors.Join(errs...)
}
