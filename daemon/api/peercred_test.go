package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"baton/core/cluster"
)

// TestMain lets the test binary be a client of another user: run by TestOtherUsers.
func TestMain(m *testing.M) {
	if socket := os.Getenv("API_TEST_CLIENT"); socket != "" {
		askAs(Dial(socket))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// askAs prints what this process may do: looking, then operating.
func askAs(c *Client) {
	ctx, cancel := clientContext()
	defer cancel()
	say := func(err error) string {
		if err == nil {
			return "yes"
		}
		if e, ok := errors.AsType[*Error](err); ok {
			return e.Code
		}
		return err.Error()
	}
	pic, err := c.Status(ctx)
	fmt.Print("view ", say(err))
	if err == nil {
		fmt.Print(" operator ", pic.Operator)
	}
	_, err = c.Operate(ctx, Operation{Verb: cluster.VerbStop, Group: "A"})
	fmt.Println(" operate", say(err))
}

func TestPermissions(t *testing.T) {
	both := Permissions{Own: 500, Operate: 10, View: 20}
	none := Permissions{Own: 500, Operate: -1, View: -1}
	for _, tc := range []struct {
		p             Permissions
		who           Peer
		view, operate bool
	}{
		{both, Peer{UID: 0, GID: 99}, true, true},
		{both, Peer{UID: 500, GID: 99}, true, true},
		{both, Peer{UID: 7, GID: 10}, true, true},
		{both, Peer{UID: 7, GID: 99, Groups: []int{1, 10}}, true, true},
		{both, Peer{UID: 7, GID: 20}, true, false},
		{both, Peer{UID: 7, GID: 99, Groups: []int{20}}, true, false},
		{both, Peer{UID: 7, GID: 99, Groups: []int{1, 2}}, false, false},
		{none, Peer{UID: 7, GID: 99}, false, false},
		{none, Peer{UID: 500, GID: 99}, true, true},
		// 4294967295 is "nobody knows" (a user without a place in our namespace).
		{none, Peer{UID: 1<<32 - 1, GID: 1<<32 - 1}, false, false},
	} {
		if v, o := tc.p.mayView(tc.who), tc.p.mayOperate(tc.who); v != tc.view || o != tc.operate {
			t.Errorf("%+v under %+v: view %v, operate %v; want %v, %v", tc.who, tc.p, v, o, tc.view, tc.operate)
		}
	}
}

func TestPeerOfOwnProcess(t *testing.T) {
	a, b := socketPair(t)
	defer a.Close()
	defer b.Close()
	got, err := peerOf(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.PID != os.Getpid() || got.UID != os.Getuid() || got.GID != os.Getgid() {
		t.Errorf("peer = %+v, want this process %d, %d, %d", got, os.Getpid(), os.Getuid(), os.Getgid())
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Groups) != fmt.Sprint(groups) {
		t.Errorf("groups = %v, want %v", got.Groups, groups)
	}
}

// TestOtherUsers connects as other users, each in a process of his own.
func TestOtherUsers(t *testing.T) {
	uids, _ := os.ReadFile("/proc/self/uid_map")
	if f := strings.Fields(string(uids)); os.Getuid() != 0 || len(f) < 3 || len(f[2]) < 4 {
		t.Skip("only root of a whole machine can become other users; TestPermissions holds the rules")
	}
	dir, err := os.MkdirTemp("/tmp", "baton-api-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(dir, "client") // the go tool's own place is not open to others
	copyFile(t, os.Args[0], self)
	many := []uint32{5000}
	for g := uint32(6000); g < 6200; g++ { // more than the first buffer holds
		many = append(many, g)
	}
	const operators, viewers = 5000, 5001
	for name, tc := range map[string]struct {
		p    Permissions
		mode fs.FileMode
		cred syscall.Credential
		want string
	}{
		"stranger, no groups here":  {Permissions{Operate: -1, View: -1}, 0o600, syscall.Credential{Uid: 4000, Gid: 4000}, "view not-permitted operate not-permitted"},
		"stranger, operators only":  {Permissions{Operate: operators, View: -1}, 0o660, syscall.Credential{Uid: 4000, Gid: 4000}, "view not-permitted operate not-permitted"},
		"operator by second group":  {Permissions{Operate: operators, View: -1}, 0o660, syscall.Credential{Uid: 4000, Gid: 4000, Groups: []uint32{operators}}, "view yes operator true operate yes"},
		"operator of many groups":   {Permissions{Operate: operators, View: -1}, 0o660, syscall.Credential{Uid: 4000, Gid: 4000, Groups: many}, "view yes operator true operate yes"},
		"operator, viewers as well": {Permissions{Operate: operators, View: viewers}, 0o666, syscall.Credential{Uid: 4000, Gid: operators}, "view yes operator true operate yes"},
		"viewer":                    {Permissions{Operate: operators, View: viewers}, 0o666, syscall.Credential{Uid: 4000, Gid: 4000, Groups: []uint32{viewers}}, "view yes operator false operate not-permitted"},
		"stranger among viewers":    {Permissions{Operate: operators, View: viewers}, 0o666, syscall.Credential{Uid: 4000, Gid: 4000}, "view not-permitted operate not-permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(dir, "batond.sock")
			s, err := New(Config{Socket: socket, Backend: newFake(), Permissions: tc.p})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close(testContext(t))
			info, err := os.Lstat(socket)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != tc.mode {
				t.Errorf("mode = %v, want %v", got, tc.mode)
			}
			cmd := exec.Command(self)
			cmd.Env = []string{"API_TEST_CLIENT=" + socket}
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &tc.cred}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("client: %v: %s", err, out)
			}
			if got := strings.TrimSpace(string(out)); got != tc.want {
				t.Errorf("client says %q, want %q", got, tc.want)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// socketPair is two ends of a unix socket.
func socketPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}
