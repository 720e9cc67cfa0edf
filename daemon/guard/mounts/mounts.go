// Package mounts takes file systems off this server: it unmounts everything at and
// below given mount points, in the caller's mount namespace, and kills who keeps them
// busy.
//
// # What counts as off
//
// None of them is mounted here any more, and none is still mounted in the mount
// namespace of another process (a container, a service with a private one), for there
// it would go on being used. A lazy unmount (MNT_DETACH) is never made: it takes the
// name away while the file system lives on under those who use it, and afterwards
// nothing tells any more when they have ended. Whoever cannot be unmounted must be
// rebooted away; that is the guard's business.
//
// # Who keeps it busy
//
// Processes with a working directory, root, program, open file or mapping in it. They
// are killed, but for process 1, the caller and its parent, and so are those of another
// mount namespace that has it, unless that is process 1's. What cannot be killed keeps
// it busy for good: a loop device or swap on a file in it, the kernel's NFS server.
//
// Any call can hang in the kernel, for as long as a disk or server does not answer. So
// Clear runs in a goroutine of its own, judged by its age, and never two of them.
//
// Sources: proc_pid_mountinfo(5), umount2(2), mount_namespaces(7).
package mounts

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Mount is a line of mountinfo.
type Mount struct {
	ID, Parent int
	Dev        string // major:minor of the file system
	Point      string
	Type       string
	Source     string // device, or server and export
}

// fileSystem is which one it is: by its number where that is a block device's. All others
// (NFS, btrfs, tmpfs) have a number that is given to the next one as soon as they are
// unmounted, which may be that of a container that starts at this moment.
type fileSystem struct{ dev, kind, source string }

func (m Mount) fileSystem() fileSystem {
	if strings.HasPrefix(m.Dev, "0:") {
		return fileSystem{m.Dev, m.Type, m.Source}
	}
	return fileSystem{dev: m.Dev}
}

func read(pid string) ([]Mount, error) {
	text, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		return nil, err
	}
	return parse(string(text)), nil
}

// parse reads mountinfo. Lines that are none are left out.
func parse(text string) []Mount {
	var list []Mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(g) < 1 {
			continue
		}
		source := ""
		if len(g) > 1 {
			source = unescape(g[1])
		}
		id, err1 := strconv.Atoi(f[0])
		parent, err2 := strconv.Atoi(f[1])
		if err1 != nil || err2 != nil {
			continue
		}
		list = append(list, Mount{ID: id, Parent: parent, Dev: f[2], Point: unescape(f[4]), Type: g[0], Source: source})
	}
	return list
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// isBelow says whether path is dir or below it.
func isBelow(path, dir string) bool {
	dir = strings.TrimRight(dir, "/")
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// under are the mounts at and below the points, in the order in which they can be
// unmounted: a mount after all that are mounted on it. Of those on one mount, the one
// that covers it whole comes first, for it hides the others.
func under(list []Mount, points []string) []Mount {
	on := map[int][]Mount{}
	for _, m := range list {
		if m.ID != m.Parent {
			on[m.Parent] = append(on[m.Parent], m)
		}
	}
	wanted := func(m Mount) bool {
		return slices.ContainsFunc(points, func(p string) bool { return isBelow(m.Point, p) })
	}
	var out []Mount
	seen := map[int]bool{}
	var visit func(m Mount)
	visit = func(m Mount) {
		if seen[m.ID] {
			return
		}
		seen[m.ID] = true
		children := slices.Clone(on[m.ID])
		slices.SortStableFunc(children, func(a, b Mount) int {
			return boolInt(b.Point == m.Point) - boolInt(a.Point == m.Point)
		})
		for _, child := range children {
			visit(child)
		}
		if wanted(m) {
			out = append(out, m)
		}
	}
	for _, m := range slices.Backward(list) {
		if wanted(m) {
			visit(m)
		}
	}
	return out
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Clearer takes file systems off this server, by one try or several. One goroutine at
// a time uses it.
type Clearer struct {
	points []string
	// own are the file systems that were found, and are nowhere here but below the
	// points: wherever else they are mounted they have no business to be.
	own map[fileSystem]bool
	// Found says that something was mounted.
	Found bool
}

// New: points are absolute and have no symbolic link in them.
func New(points []string) *Clearer { return &Clearer{points: points, own: map[fileSystem]bool{}} }

// killPatience is how long one Clear waits for killed processes to go, from its first
// kill on.
const killPatience = 30 * time.Millisecond

// Clear tries once. Nil means that all of it is off.
func (c *Clearer) Clear() error { return c.clear(c.users) }

// clear is Clear with its way to look for users. That looks at every process of the
// machine, and takes as long as that takes: whoever was found is killed first, whatever
// the time, and waited for asleep. The guard goes before everybody else, and by looking
// again and again it would keep from ending those that it has killed.
func (c *Clearer) clear(find func([]busy) []user) error {
	var end time.Time
	for {
		left, err := c.unmount()
		if err != nil {
			return err
		}
		begin := time.Now()
		users := find(left)
		if len(left) == 0 && len(users) == 0 {
			return nil
		}
		now := time.Now()
		if end.IsZero() {
			end = now.Add(killPatience)
		}
		switch killed := killAll(users); {
		case len(killed) > 0 && !killed.ended(end), len(killed) == 0 && now.After(end):
			return describe(left, users)
		case len(killed) == 0: // it may be over by itself
			time.Sleep(max(now.Sub(begin), 2*time.Millisecond))
		}
	}
}

// busy is a mount that could not be unmounted.
type busy struct {
	Mount
	err error
}

func describe(left []busy, users []user) error {
	var text []string
	for _, b := range left {
		text = append(text, fmt.Sprintf("%s cannot be unmounted: %v", b.Point, b.err))
	}
	for _, u := range users {
		text = append(text, fmt.Sprintf("used by process %d (%s)", u.pid, u.why))
		if len(text) > 4 {
			text = append(text, "...")
			break
		}
	}
	return errors.New(strings.Join(text, ", "))
}

// unmount unmounts what it can and returns the rest.
func (c *Clearer) unmount() ([]busy, error) {
	for {
		list, err := read("self")
		if err != nil {
			return nil, err
		}
		here := under(list, c.points)
		if len(here) == 0 {
			return nil, nil
		}
		c.Found = true
		c.note(list, here)
		var left []busy
		for _, m := range here {
			if err := unmount(m); err != nil {
				left = append(left, busy{m, err})
			}
		}
		if len(left) == 0 || len(left) == len(here) {
			if len(left) > 0 {
				return left, nil
			}
			continue // another look: more may have been stacked behind our back
		}
	}
}

func unmount(m Mount) error {
	flags := unix.UMOUNT_NOFOLLOW
	for _, t := range [...]string{"nfs", "fuse", "cifs"} {
		if strings.HasPrefix(m.Type, t) {
			flags |= unix.MNT_FORCE // ends waiting for a server that does not answer
		}
	}
	for {
		if err := unix.Unmount(m.Point, flags); err != unix.EINTR {
			return err
		}
	}
}

// note notes the file systems of the mounts. One that is also mounted elsewhere here,
// as the root file system is when a directory of it was bound below a point, is not
// the group's alone.
func (c *Clearer) note(list, here []Mount) {
	outside := map[fileSystem]bool{}
	for _, m := range list {
		if !slices.Contains(here, m) {
			outside[m.fileSystem()] = true
		}
	}
	for _, m := range here {
		if !outside[m.fileSystem()] {
			c.own[m.fileSystem()] = true
		}
	}
}

// killed are the pidfds of processes that have got SIGKILL.
type killed []unix.PollFd

// killAll kills, but for who is spared.
func killAll(users []user) (all killed) {
	for _, u := range users {
		if u.spared {
			continue
		}
		if fd, err := kill(u.pid); err == nil {
			all = append(all, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	return all
}

// ended waits until all of them have ended, and so use nothing any more, and says whether
// they had by that time.
func (all killed) ended(end time.Time) bool {
	defer func() {
		for _, p := range all {
			unix.Close(int(p.Fd))
		}
	}()
	running := slices.Clone(all)
	for len(running) > 0 {
		left := max(time.Until(end), 0)
		n, err := unix.Poll(running, int(left.Milliseconds()))
		if err != unix.EINTR && n <= 0 {
			return false
		}
		running = slices.DeleteFunc(running, func(p unix.PollFd) bool { return p.Revents != 0 })
	}
	return true
}

// kill kills by pidfd what has the number now, and returns that. It was a user a moment
// ago; a process cannot have ended and another got its number in that time, for numbers
// go round.
func kill(pid int) (pidfd int, err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}
