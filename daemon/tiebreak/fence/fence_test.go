package fence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

// fakeAgent speaks the protocol of the fence-agents package. Its power switch is a
// directory: the file plug says "on" or "off". Every run is noted in log. Options:
// off_code and status_code end with that code at once, stubborn leaves the plug on,
// slow waits so many seconds (in a child of its own, as pexpect has one), slow_off
// switches off that much later.
const fakeAgent = `#!/bin/sh
action=reboot
while IFS= read -r line; do
	case "$line" in '#'*) continue;; esac
	name=${line%%=*}; value=${line#*=}
	case "$name" in
	action) action=$value;; ip) dir=$value;; plug) plug=$value;; passwd) passwd=$value;; nodename) node=$value;;
	off_code) off_code=$value;; status_code) status_code=$value;; stubborn) stubborn=$value;; slow) slow=$value;; slow_off) slow_off=$value;;
	*) echo "Parse error: Ignoring unknown option '$name'" >&2;;
	esac
done
echo "$action $plug $passwd $node" >>"$dir/log"
if [ -n "$slow" ]; then sleep "$slow" & wait; fi
case "$action" in
status)
	if [ -n "$status_code" ]; then echo "Unable to connect/login to fencing device" >&2; exit "$status_code"; fi
	read -r p <"$dir/$plug"; echo "Status: $p"
	[ "$p" = off ] && exit 2; exit 0;;
off)
	if [ -n "$off_code" ]; then echo "Failed: Timed out waiting to power OFF" >&2; exit "$off_code"; fi
	if [ -n "$slow_off" ]; then (sleep "$slow_off"; echo off >"$dir/$plug") >/dev/null 2>&1 </dev/null & exit 0; fi
	[ -n "$stubborn" ] || echo off >"$dir/$plug"
	echo "Success: Powered OFF"; exit 0;;
esac
exit 1
`

// bed is a power switch with the plugs of three servers.
type bed struct {
	t     testing.TB
	dir   string
	agent string
	state string
}

func newBed(t testing.TB) *bed {
	b := &bed{t: t, dir: t.TempDir(), state: t.TempDir()}
	b.agent = filepath.Join(b.dir, "fence_fake")
	if err := os.WriteFile(b.agent, []byte(fakeAgent), 0o755); err != nil {
		t.Fatal(err)
	}
	for s := 1; s <= 3; s++ {
		b.plug(s, "on")
	}
	return b
}

func (b *bed) plug(server int, state string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, strconv.Itoa(server)), []byte(state+"\n"), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) has(server int) string {
	text, _ := os.ReadFile(filepath.Join(b.dir, strconv.Itoa(server)))
	return strings.TrimSpace(string(text))
}

// runs are the actions on a server's plug, in order.
func (b *bed) runs(server int) (actions []string) {
	text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == strconv.Itoa(server) {
			actions = append(actions, f[0])
		}
	}
	return actions
}

// of is the agent of a server, with more options as name, value.
func (b *bed) of(server int, more ...string) Agent {
	a := Agent{Name: b.agent, Options: map[string]string{"ip": b.dir, "plug": strconv.Itoa(server), "passwd": "a = b"}, Timeout: 5 * time.Second}
	for i := 0; i < len(more); i += 2 {
		a.Options[more[i]] = more[i+1]
	}
	return a
}

// open is server 1's tie-breaker.
func (b *bed) open(agents map[int]Agent) *Fencer {
	b.t.Helper()
	f, err := Open(Config{
		Self: 1, Servers: []string{"server1", "server2", "server3"}[:len(agents)], Agents: agents,
		Timeout: 200 * time.Millisecond, Boot: "boot-1", StateDir: b.state, Grace: 200 * time.Millisecond,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := f.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return f
}

func claimOf(missing ...int) node.RegisterCall {
	return node.RegisterCall{ID: 3, Cluster: 1, Claim: epoch.ID{Number: 4, Founder: 257}, Missing: missing}
}

func do(t testing.TB, f *Fencer, call node.RegisterCall) node.RegisterAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a, err := f.Do(ctx, call)
	if err != nil {
		t.Fatalf("%+v: %v", call, err)
	}
	return a
}

// Goal: a claim wins exactly where the status of every missing server says off after
// the shot.
func TestClaim(t *testing.T) {
	for _, tt := range []struct {
		name    string
		more    []string // options of server 2's agent
		off     bool     // server 2 is off before
		missing []int
		text    string // "": won
	}{
		{name: "one", missing: []int{2}},
		{name: "two", missing: []int{3, 2}},
		{name: "nobody"},
		{name: "off already", off: true, missing: []int{2}},
		{name: "off fails", more: []string{"off_code", "1"}, missing: []int{2}, text: "server2: " + "AGENT off: exit code 1: Failed: Timed out waiting to power OFF"},
		{name: "off fails, but it is off", more: []string{"off_code", "1"}, off: true, missing: []int{2}},
		{name: "stays on", more: []string{"stubborn", "1"}, missing: []int{2}, text: "server2: AGENT says that it is off, and its status that it is on"},
		{name: "goes off a little later", more: []string{"slow_off", "0.1"}, missing: []int{2}},
		{name: "cannot be asked", more: []string{"status_code", "1"}, missing: []int{2}, text: "server2: AGENT status: exit code 1: Unable to connect"},
		{name: "one of two stays on", more: []string{"stubborn", "1"}, missing: []int{2, 3}, text: "server2: "},
		{name: "itself", missing: []int{1}, text: "this server itself is missing"},
		{name: "out of range", missing: []int{4}, text: "no server 4"},
	} {
		b := newBed(t)
		if tt.off {
			b.plug(2, "off")
		}
		f := b.open(map[int]Agent{1: b.of(1), 2: b.of(2, tt.more...), 3: b.of(3)})
		f.NoteQuorum()
		a := do(t, f, claimOf(tt.missing...))
		text := strings.ReplaceAll(a.Text, b.agent, "AGENT")
		if a.ID != 3 || (a.Top == claimOf().Claim) != (tt.text == "") || (a.Text == "") != (tt.text == "") || !strings.Contains(text, tt.text) {
			t.Errorf("%s: got %+v, want %q", tt.name, a, tt.text)
		}
		if strings.Contains(a.Text, "\n") {
			t.Errorf("%s: more than one line: %q", tt.name, a.Text)
		}
		if b.has(1) != "on" {
			t.Errorf("%s: it has shot itself", tt.name)
		}
		if ok, text := f.State(); ok != (tt.text == "") || text == "" {
			t.Errorf("%s: state %v, %q", tt.name, ok, text)
		}
	}
}

// Goal: the agent gets what the protocol says, with values as they are, and the log
// and fmt see no password.
func TestProtocol(t *testing.T) {
	b := newBed(t)
	a := b.of(2)
	if got, want := a.input(actionOff, "server2"), "ip="+b.dir+"\npasswd=a = b\nplug=2\nnodename=server2\naction=off\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if p, err := a.status(context.Background(), "server2"); p != powerOn || err != nil {
		t.Errorf("got %v, %v", p, err)
	}
	if text, _ := os.ReadFile(filepath.Join(b.dir, "log")); string(text) != "status 2 a = b server2\n" {
		t.Errorf("the agent read %q", text)
	}
	for _, s := range []string{fmt.Sprint(a), fmt.Sprintf("%+v", a), fmt.Sprintf("%#v", a), fmt.Sprintf("%v", Config{Agents: map[int]Agent{2: a}})} {
		if strings.Contains(s, "a = b") {
			t.Errorf("shows the password: %s", s)
		}
	}
	for _, bad := range []map[string]string{{"a b": "c"}, {"": "c"}, {"a": "b\nc"}, {"action": "on"}, {"#a": "b"}} {
		if err := (Agent{Name: "x", Options: bad}).check(); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Goal: who is to survive is shot at later: within the delay the other side's shot
// counts, and a claim that is no longer made is not carried out.
func TestDelay(t *testing.T) {
	b := newBed(t)
	slow := b.of(2)
	slow.Delay = 600 * time.Millisecond
	f := b.open(map[int]Agent{1: b.of(1), 2: slow})
	f.NoteQuorum()
	begin := time.Now()
	if a := do(t, f, claimOf(2)); a.Text != "" || time.Since(begin) < slow.Delay {
		t.Errorf("got %+v after %v", a, time.Since(begin))
	}
	if got := b.runs(2); !slices.Equal(got, []string{"status", "off", "status"}) {
		t.Errorf("ran %v", got)
	}

	b = newBed(t)
	slow = b.of(2)
	slow.Delay = time.Second
	f = b.open(map[int]Agent{1: b.of(1), 2: slow})
	f.NoteQuorum()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if a, err := f.Do(ctx, claimOf(2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", a, err)
	}
	<-f.shot.done // nobody asks again
	if b.has(2) != "on" || !strings.Contains(f.shot.text, "nobody asks any more") {
		t.Errorf("server2 is %s, %q", b.has(2), f.shot.text)
	}
}

// Goal: callers with short limits that ask again share one shot, and get its outcome;
// what is off is not shot at again for the same claim; a failure is not repeated at
// once.
func TestOneShot(t *testing.T) {
	b := newBed(t)
	f := b.open(map[int]Agent{1: b.of(1), 2: b.of(2, "slow", "0.2")})
	f.NoteQuorum()
	tries := 0
	for ; ; tries++ {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		a, err := f.Do(ctx, claimOf(2))
		cancel()
		if err == nil {
			if a.Top != claimOf().Claim {
				t.Fatalf("got %+v", a)
			}
			break
		}
		// It may have ended since this caller gave up: what came of it is told to the next.
		if ok, text := f.State(); !f.shot.hasEnded() && (!ok || text != "powering off server2") {
			t.Errorf("state %v, %q", ok, text)
		}
	}
	b.plug(2, "on") // an operator, later
	if a := do(t, f, claimOf(2)); a.Top != claimOf().Claim {
		t.Errorf("got %+v", a)
	}
	if got := b.runs(2); tries < 3 || !slices.Equal(got, []string{"off", "status"}) {
		t.Errorf("%d tries, ran %v", tries, got)
	}

	b = newBed(t)
	f = b.open(map[int]Agent{1: b.of(1), 2: b.of(2, "off_code", "1")})
	f.NoteQuorum()
	for range 3 {
		if a := do(t, f, claimOf(2)); a.Text == "" {
			t.Errorf("got %+v", a)
		}
	}
	n := len(b.runs(2))
	if got := b.runs(2); slices.Index(got[1:], "off") >= 0 {
		t.Errorf("tried again at once: %v", got)
	}
	time.Sleep(250 * time.Millisecond) // the pause between two tries is Timeout
	do(t, f, claimOf(2))
	if len(b.runs(2)) == n {
		t.Error("not tried again")
	}
}

// Goal: rule T3. Before a quorum was seen in this boot neither claim nor read wins;
// after it also a later batond of the same boot may; one of another boot may not.
func TestBoot(t *testing.T) {
	b := newBed(t)
	agents := map[int]Agent{1: b.of(1), 2: b.of(2)}
	f := b.open(agents)
	for _, call := range []node.RegisterCall{{Cluster: 1}, claimOf(2)} {
		if a := do(t, f, call); !strings.Contains(a.Text, "has booted since") || a.Top != (epoch.ID{}) {
			t.Errorf("got %+v", a)
		}
	}
	if b.runs(2) != nil {
		t.Errorf("ran %v", b.runs(2))
	}
	if a := do(t, f, node.RegisterCall{Cluster: 1, Raise: claimOf().Claim}); a.Text != "" { // a leader has a quorum
		t.Errorf("got %+v", a)
	}
	if a := do(t, f, node.RegisterCall{Cluster: 1}); a.Text != "" {
		t.Errorf("got %+v", a)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if a := do(t, b.open(agents), node.RegisterCall{Cluster: 1}); a.Text != "" {
		t.Errorf("a later batond: got %+v", a)
	}
	g, err := Open(Config{Self: 1, Servers: []string{"server1", "server2"}, Agents: agents, Boot: "boot-2", StateDir: b.state})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if a := do(t, g, claimOf(2)); a.Text == "" {
		t.Errorf("after a boot: got %+v", a)
	}
}

// Goal: a read says whether a claim would be worth while: half of the servers must
// have an agent that answers. Off is an answer.
func TestRead(t *testing.T) {
	silent := []string{"status_code", "1"}
	for _, tt := range []struct {
		name   string
		agents func(b *bed) map[int]Agent
		text   string
	}{
		{"two", func(b *bed) map[int]Agent { return map[int]Agent{1: b.of(1), 2: b.of(2)} }, ""},
		{"two, silent", func(b *bed) map[int]Agent { return map[int]Agent{1: b.of(1), 2: b.of(2, silent...)} }, "server2: AGENT status: exit code 1"},
		{"own one does not count", func(b *bed) map[int]Agent { return map[int]Agent{1: b.of(1, silent...), 2: b.of(2)} }, ""},
		{"three, one silent", func(b *bed) map[int]Agent { return map[int]Agent{1: b.of(1), 2: b.of(2, silent...), 3: b.of(3)} }, ""},
		{"not installed", func(b *bed) map[int]Agent {
			return map[int]Agent{1: b.of(1), 2: {Name: "fence_nothing"}}
		}, "part of the package fence-agents"},
		{"anybody's", func(b *bed) map[int]Agent {
			_ = os.Chmod(b.agent, 0o777)
			return map[int]Agent{1: b.of(1), 2: b.of(2)}
		}, "can be written by others"},
	} {
		b := newBed(t)
		f := b.open(tt.agents(b))
		f.NoteQuorum()
		a := do(t, f, node.RegisterCall{ID: 1, Cluster: 1})
		if text := strings.ReplaceAll(a.Text, b.agent, "AGENT"); a.Top != (epoch.ID{}) || (text == "") != (tt.text == "") || !strings.Contains(text, tt.text) {
			t.Errorf("%s: got %+v, want %q", tt.name, a, tt.text)
		}
	}
	b := newBed(t)
	f := b.open(map[int]Agent{1: b.of(1), 2: b.of(2)})
	f.NoteQuorum()
	for range 5 {
		do(t, f, node.RegisterCall{Cluster: 1})
	}
	if got := b.runs(2); len(got) != 1 {
		t.Errorf("five reads within a second ran %v", got)
	}
}

// Goal: an agent that hangs is ended, with its children, after its limit and when the
// tie-breaker is closed; and nothing stays behind.
func TestHang(t *testing.T) {
	b := newBed(t)
	hangs := b.of(2, "slow", forEver)
	hangs.Timeout = 200 * time.Millisecond
	f := b.open(map[int]Agent{1: b.of(1), 2: hangs})
	f.NoteQuorum()
	begin := time.Now()
	if a := do(t, f, claimOf(2)); !strings.Contains(a.Text, "no end after 200ms") || time.Since(begin) > 5*time.Second {
		t.Errorf("got %+v after %v", a, time.Since(begin))
	}
	if b.has(2) != "on" {
		t.Error("switched off by an agent that hung")
	}

	b = newBed(t)
	f = b.open(map[int]Agent{1: b.of(1), 2: b.of(2, "slow", forEver)})
	f.NoteQuorum()
	before := runtime.NumGoroutine()
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		if _, err := f.Do(ctx, claimOf(2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	if now := runtime.NumGoroutine(); now > before+8 { // of one shot, not of ten
		t.Errorf("%d goroutines, before %d", now, before)
	}
	for b.runs(2) == nil {
		time.Sleep(time.Millisecond)
	}
	begin = time.Now()
	if err := f.Close(); err != nil || time.Since(begin) > time.Second {
		t.Errorf("closed after %v: %v", time.Since(begin), err)
	}
	for range 200 {
		if sleepers() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d of the agents' children are left", sleepers())
}

// forEver is a time to sleep, in seconds, that nobody else on this machine sleeps.
var forEver = fmt.Sprintf("1000.%d", os.Getpid())

// sleepers counts the children of hung agents.
func sleepers() (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || string(b) != "sleep\x00"+forEver+"\x00" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if syscall.Kill(pid, 0) == nil {
			n++
		}
	}
	return n
}
