package api

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeProc is a proc file system with a few processes.
type fakeProc struct {
	t   *testing.T
	dir string
}

func (f fakeProc) write(pid int, name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, fmt.Sprint(pid), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f fakeProc) process(pid, parent int, comm string, uid, tty int) {
	f.t.Helper()
	f.write(pid, "stat", fmt.Sprintf("%d (%s) S %d 1 1 %d 0 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0", pid, comm, parent, tty, 1000+pid))
	f.write(pid, "status", fmt.Sprintf("Name:\t%s\nUid:\t%d\t%d\t%d\t%d\n", comm, uid, uid, uid, uid))
	f.write(pid, "loginuid", "4294967295")
}

func (f fakeProc) socket(pid int, inode, tcp string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Join(f.dir, fmt.Sprint(pid), "fd"), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Symlink("socket:["+inode+"]", filepath.Join(f.dir, fmt.Sprint(pid), "fd", "4")); err != nil {
		f.t.Fatal(err)
	}
	f.write(pid, "net/tcp", "  sl  local_address rem_address   st\n"+tcp)
}

// Goal: what is recorded as fact is what the caller cannot write. Method: a tree of
// processes as over SSH with sudo; then each thing about it that could be forged.
func TestOrigin(t *testing.T) {
	const pts3 = 136<<8 | 3
	line := func(inode, state string) string {
		return fmt.Sprintf("   0: 0100000A:0016 0900000A:D431 %s 00000000:00000000 02:000A 00000000     0        0 %s 4 0\n", state, inode)
	}
	build := func(change func(fakeProc)) proc {
		f := fakeProc{t, t.TempDir()}
		f.process(1, 0, "systemd", 0, 0)
		f.process(10, 1, "sshd", 0, 0)
		f.process(20, 10, "sshd-session", 0, 0)
		f.socket(20, "777", line("776", "01")+line("777", "01"))
		f.process(30, 20, "sshd-session", 1000, 0)
		f.process(40, 30, "ba) sh (", 1000, pts3)
		f.process(50, 40, "sudo", 0, pts3)
		f.process(60, 50, "baton", 0, pts3)
		f.write(60, "loginuid", "4242424")
		if change != nil {
			change(f)
		}
		return proc(f.dir)
	}
	whole := origin{"uid 4242424", "pts/3", "10.0.0.9"}
	noSSH := origin{"uid 4242424", "pts/3", ""}
	for name, c := range map[string]struct {
		change func(fakeProc)
		peer   Peer
		want   origin
	}{
		"over ssh, by sudo":           {nil, Peer{PID: 60, Began: 1060}, whole},
		"another process by now":      {nil, Peer{PID: 60, Began: 1059}, origin{}},
		"began not known":             {nil, Peer{PID: 60}, origin{}},
		"gone":                        {nil, Peer{PID: 61, Began: 1061}, origin{}},
		"in another PID namespace":    {nil, Peer{PID: 0, Began: 1060}, origin{}},
		"nobody logged in":            {func(f fakeProc) { f.write(60, "loginuid", "4294967295") }, Peer{PID: 60, Began: 1060}, origin{"", "pts/3", "10.0.0.9"}},
		"logged in as himself":        {func(f fakeProc) { f.write(60, "loginuid", "1000") }, Peer{PID: 60, UID: 1000, Began: 1060}, origin{"", "pts/3", "10.0.0.9"}},
		"an sshd of the user's own":   {func(f fakeProc) { f.process(20, 10, "sshd", 1000, 0) }, Peer{PID: 60, Began: 1060}, noSSH},
		"sshd's connection has ended": {func(f fakeProc) { f.write(20, "net/tcp", line("777", "08")) }, Peer{PID: 60, Began: 1060}, noSSH},
		"somebody else's connection":  {func(f fakeProc) { f.write(20, "net/tcp", line("776", "01")) }, Peer{PID: 60, Began: 1060}, noSSH},
		"in a multiplexer":            {func(f fakeProc) { f.process(40, 1, "tmux: server", 1000, 0) }, Peer{PID: 60, Began: 1060}, noSSH},
		"parents in a circle":         {func(f fakeProc) { f.process(40, 60, "bash", 1000, pts3) }, Peer{PID: 60, Began: 1060}, noSSH},
	} {
		if got := build(c.change).originOf(c.peer); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestTerminal(t *testing.T) {
	for nr, want := range map[int]string{
		0: "", 136 << 8: "pts/0", 136<<8 | 255: "pts/255", 137<<8 | 1: "pts/257", 136<<8 | 1<<20 | 2: "pts/258",
		4<<8 | 1: "tty1", 4<<8 | 64: "ttyS0", 5<<8 | 1: "terminal 5:1",
	} {
		if got := terminal(nr); got != want {
			t.Errorf("tty_nr %#x: %q, want %q", nr, got, want)
		}
	}
}

func TestRemote(t *testing.T) {
	for text, want := range map[string]string{
		"0900000A:D431":                         "10.0.0.9",
		"B80D01200000000000000000010000FF:0016": "2001:db8::ff00:1",
		"0000000000000000FFFF00000900000A:0016": "10.0.0.9",
		"xyz:1":                                 "", "0900:1": "", "": "",
	} {
		a, err := remote(text)
		if got := a.String(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

// What the caller says is kept apart from what the kernel says, and dropped where it is
// the same.
func TestRecord(t *testing.T) {
	o := origin{"alice", "pts/3", "10.0.0.9"}
	for says, want := range map[string]string{
		"":                  "alice as root from pts/3 ssh 10.0.0.9",
		"ssh 10.0.0.9":      "alice as root from pts/3 ssh 10.0.0.9",
		"/dev/pts/3":        "alice as root from pts/3 ssh 10.0.0.9",
		"ssh 192.168.66.66": "alice as root from pts/3 ssh 10.0.0.9 (says: ssh 192.168.66.66)",
	} {
		if got := record(Peer{UID: 0}, o, says).String(); got != want {
			t.Errorf("says %q: %q, want %q", says, got, want)
		}
	}
	if got := record(Peer{UID: 0}, origin{}, "ssh 10.0.0.9").String(); got != "root (says: ssh 10.0.0.9)" {
		t.Errorf("nothing known: %q", got)
	}
}

// A real process: this one is found as it is, and it began before any that comes.
func TestOriginOfThisProcess(t *testing.T) {
	a, b := socketPair(t)
	defer a.Close()
	defer b.Close()
	who, err := peerOf(b)
	if err != nil {
		t.Fatal(err)
	}
	if who.Began == 0 || who.PID != os.Getpid() {
		t.Fatalf("peer %+v, want this process", who)
	}
	tty := ""
	if out, err := exec.Command("ps", "-o", "tty=", "-p", fmt.Sprint(os.Getpid())).Output(); err == nil {
		if tty = strings.TrimSpace(string(out)); tty == "?" {
			tty = ""
		}
		if got := proc("/proc").originOf(who).terminal; got != tty {
			t.Errorf("terminal %q, ps says %q", got, tty)
		}
	}
}

// The socket of a real connection is found in the kernel's real table.
func TestClientOfARealConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := proc("/proc").client(os.Getpid()); got != "127.0.0.1" {
		t.Errorf("client %q, want 127.0.0.1", got)
	}
}
