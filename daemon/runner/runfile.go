package runner

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"baton/core/cluster"
	"baton/daemon/cgroup"
	"baton/daemon/resource/floatingip"
)

// Orders is all that a step child knows.
type Orders struct {
	Step    cluster.Step     `json:"step"`
	Group   Group            `json:"group"`
	Place   cgroup.Place     `json:"place"`
	Page    string           `json:"page,omitempty"`
	Cluster string           `json:"cluster"`
	Socket  string           `json:"socket"`
	Times   floatingip.Times `json:"times"`
	Log     string           `json:"log"`
	Seconds int              `json:"seconds"` // lifetime of addresses, where there is no page
	Begin   int64            `json:"begin"`   // CLOCK_BOOTTIME, ns
}

// files are those of one step, without the suffix.
type files string

func (r *Runner) files(step cluster.Step) files {
	return files(filepath.Join(r.dir, plain(step.Group)+"."+strconv.FormatUint(step.Token, 10)))
}

func (f files) orders() string { return string(f) + ".json" }

// create writes the orders and locks them; they are in their place only when both is
// done. os.ErrExist: the token was begun before. Without fsync: after a crash of the
// machine nothing runs here any more.
func (f files) create(o Orders) (*os.File, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".new")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_, err = file.WriteAt(b, 0)
	}
	if err == nil {
		err = os.Link(file.Name(), f.orders())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// locked says whether the child lives.
func (f files) locked() bool {
	file, err := os.OpenFile(f.orders(), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	return unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

func (f files) outcome() (cluster.Outcome, error) {
	var o cluster.Outcome
	b, err := os.ReadFile(string(f) + ".out")
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	return o, err
}

// leave writes the outcome, whole or not at all.
func (f files) leave(o cluster.Outcome) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	tmp := string(f) + ".out.new"
	if err := os.WriteFile(tmp, b, 0o640); err != nil {
		return err
	}
	return os.Rename(tmp, string(f)+".out")
}

// progress is the child's last line.
func (f files) progress() string {
	b, err := os.ReadFile(string(f) + ".progress")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// forget removes the files of the group's earlier steps.
func (r *Runner) forget(step cluster.Step) {
	names, err := os.ReadDir(r.dir)
	if err != nil {
		return
	}
	for _, n := range names {
		rest, ok := strings.CutPrefix(n.Name(), plain(step.Group)+".")
		token, _, _ := strings.Cut(rest, ".")
		if t, err := strconv.ParseUint(token, 10, 64); ok && err == nil && t < step.Token {
			_ = os.Remove(filepath.Join(r.dir, n.Name()))
		}
	}
}

// child is a step child of ours.
type child struct {
	lines *os.File      // what it says
	ended chan struct{} // closed when it is gone
}

// start starts the child in the group's cell, with its orders as file 3 and a pipe
// to talk as file 4.
func (r *Runner) start(step cluster.Step, f files, orders *os.File) (*child, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	command := r.config.Command
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], "--run", string(f))...)
	cmd.Dir = "/"
	cmd.Env = []string{fmt.Sprintf("%s=%d", cgroup.StepName, step.Token), "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	// Standard output and error: only the Go runtime writes there, when it dies.
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{orders, write}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := r.config.Place.Steps(step.Group).Start(cmd); err != nil {
		read.Close()
		return nil, fmt.Errorf("start its process: %w", err)
	}
	c := &child{lines: read, ended: make(chan struct{})}
	go func() { // ends with the child
		_ = cmd.Wait() // its outcome is in the file, whatever its exit code
		close(c.ended)
	}()
	return c, nil
}

// endOfStep is the child's last line.
const endOfStep = "\x04"

// read calls progress for each line until the step has ended: by the child's word, or
// by its death.
func (c *child) read(progress func(string)) {
	for lines := bufio.NewScanner(c.lines); lines.Scan(); {
		if lines.Text() == endOfStep {
			return
		}
		progress(lines.Text())
	}
}

// readOrders reads a child's orders from file 3, which stays open, and locked, to the
// end of the process.
func readOrders() (Orders, error) {
	const fd, limit = 3, 1 << 20
	var o Orders
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size > limit {
		return o, fmt.Errorf("no orders as file %d (%v): this is batond's own process", fd, err)
	}
	unix.CloseOnExec(fd)
	b := make([]byte, st.Size)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		return o, fmt.Errorf("read orders: %w", err)
	}
	return o, json.Unmarshal(b[:n], &o)
}
