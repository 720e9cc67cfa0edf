package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// envWorld carries the world's directory to the program that runs in it.
const envWorld = "BATON_LAB_WORLD"

// roleArg is the first argument by which this program is started again as something
// else: the world's init, a server's init, or a small program on a server.
const roleArg = "lab-role"

// The world of this process; dir is "" outside of one.
var world struct {
	dir string // holds mem/ (a tmpfs), disk/ and cgroup/
	why error  // why there is no world
	mu  sync.Mutex
	up  *net.UnixConn // to the process outside; nil in a nested program
	rd  *bufio.Reader
}

// Main is TestMain's whole body: it runs the tests inside a world.
func Main(m interface{ Run() int }) {
	Enter()
	os.Exit(m.Run())
}

// Enter continues the program inside a world: the process that calls it becomes the
// one outside, waits, and exits with the exit code of the one inside, for which Enter
// returns. It must come first in main, before flags are parsed.
//
// Where the machine does not allow a world, Enter returns in the process that called
// it; Err says why then, and New and Start refuse.
func Enter() {
	if len(os.Args) > 2 && os.Args[1] == roleArg {
		os.Exit(runRole(os.Args[2], os.Args[3:]))
	}
	if dir := os.Getenv(envWorld); dir != "" {
		world.dir = dir
		if c, err := net.FileConn(os.NewFile(worldFD, "world")); err == nil {
			unix.CloseOnExec(worldFD)
			world.up, _ = c.(*net.UnixConn)
			world.rd = bufio.NewReader(c)
		}
		return
	}
	code, err := outside()
	if err != nil {
		world.why = err
		return
	}
	os.Exit(code)
}

// Err says why there is no world; nil inside one.
func Err() error {
	switch {
	case world.dir != "":
		return nil
	case world.why != nil:
		return world.why
	}
	return errors.New("no lab world: call lab.Main from TestMain, or lab.Enter first in main")
}

// worldFD is where the world's processes find their end of the socket to outside.
const worldFD = 3

// note is one line on the socket between the world and the process outside.
type note struct {
	Ready bool   `json:"ready,omitempty"`
	Error string `json:"error,omitempty"`
	Build string `json:"build,omitempty"` // package to build
	Tags  string `json:"tags,omitempty"`  // with these build tags
	Path  string `json:"path,omitempty"`  // of what was built
}

// outside starts the world and waits for it. An error means that there was no world,
// and nothing is left of the attempt.
func outside() (code int, err error) {
	dir, err := os.MkdirTemp(tempRoot(), "baton-lab-")
	if err != nil {
		return 0, fmt.Errorf("lab directory: %w", err)
	}
	defer os.RemoveAll(dir)
	defer removeCgroups(filepath.Base(dir))
	for _, d := range []string{"mem", "disk", "cgroup", "bin"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return 0, err
		}
	}
	// Both fail for an ordinary user unless with a user namespace; root in a container
	// may need one as well.
	users := []bool{os.Geteuid() != 0, true}
	for _, user := range users {
		code, err = startWorld(dir, user)
		if err == nil {
			return code, nil
		}
	}
	return 0, fmt.Errorf("this machine allows no lab: %w (as an ordinary user: needs unprivileged user namespaces; see "+
		"kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces)", err)
}

// tempRoot is where the lab's directory goes: not below /run, which every server
// covers with its own, and not too deep for the 108 bytes of a unix socket's path.
func tempRoot() string {
	t := os.TempDir()
	if len(t) > 40 || strings.HasPrefix(t, "/run/") || strings.HasPrefix(t, "/var/run/") {
		return "/tmp"
	}
	return t
}

func startWorld(dir string, user bool) (int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "world"), os.NewFile(uintptr(fds[1]), "outside")
	conn, err := net.FileConn(mine)
	mine.Close()
	if err != nil {
		theirs.Close()
		return 0, err
	}
	defer conn.Close()

	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{os.Args[0], roleArg, "world", dir}, os.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS |
			unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP,
	}
	if user {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return 0, fmt.Errorf("namespaces: %w", err)
	}
	// Signals for us are meant for the program inside; its end is ours.
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	defer signal.Stop(sigs)
	go func() {
		for s := range sigs {
			_ = cmd.Process.Signal(s)
		}
	}()

	in := bufio.NewReader(conn)
	var n note
	if err := readNote(in, &n); err != nil {
		n.Error = "the world's init ended early"
	}
	if n.Error != "" {
		_ = cmd.Wait()
		return 0, errors.New(n.Error)
	}
	go func() { // ends with the connection
		for {
			var n note
			if readNote(in, &n) != nil {
				return
			}
			path, err := buildHere(dir, n.Build, n.Tags)
			answer := note{Path: path}
			if err != nil {
				answer.Error = err.Error()
			}
			if writeNote(conn, answer) != nil {
				return
			}
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	}
	fmt.Fprintf(os.Stderr, "lab: world: %v\n", err)
	return 1, nil
}

// buildHere builds a package of this module, outside, where the module cache and
// the network are.
func buildHere(dir, pkg, tags string) (string, error) {
	out := filepath.Join(dir, "bin", binaryName(pkg, tags))
	cmd := exec.Command("go", "build", "-tags", tags, "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}

// binaryName is the name of what is built of a package.
func binaryName(pkg, tags string) string {
	if tags != "" {
		tags = "-" + tags
	}
	return filepath.Base(pkg) + tags
}

var builds sync.Map // binary -> func() (string, error)

// Build builds a main package of this module once in this world and says where the
// binary is. The environment variable BATON_LAB_BIN names a directory of binaries
// built before; then nothing is built.
func Build(pkg string) (string, error) { return BuildWith(pkg, "") }

// BuildWith is Build with build tags, separated by commas; the binary is called
// PACKAGE-TAGS.
func BuildWith(pkg, tags string) (string, error) {
	if dir := os.Getenv("BATON_LAB_BIN"); dir != "" {
		path := filepath.Join(dir, binaryName(pkg, tags))
		_, err := os.Stat(path)
		return path, err
	}
	once, _ := builds.LoadOrStore(binaryName(pkg, tags), sync.OnceValues(func() (string, error) {
		if err := Err(); err != nil {
			return "", err
		}
		if world.up == nil {
			return "", errors.New("nobody outside of the lab's world to build " + pkg)
		}
		world.mu.Lock()
		defer world.mu.Unlock()
		if err := writeNote(world.up, note{Build: pkg, Tags: tags}); err != nil {
			return "", err
		}
		var n note
		if err := readNote(world.rd, &n); err != nil {
			return "", err
		}
		if n.Error != "" {
			return "", errors.New(n.Error)
		}
		return n.Path, nil
	}))
	return once.(func() (string, error))()
}

func readNote(r *bufio.Reader, n *note) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, n)
}

func writeNote(c net.Conn, n note) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, err = c.Write(append(line, '\n'))
	return err
}
