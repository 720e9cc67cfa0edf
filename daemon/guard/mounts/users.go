package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// user is a process that keeps a file system busy.
type user struct {
	pid    int
	why    string
	spared bool // not to be killed
}

// users finds who uses the mounts that are left, and who has one of the file systems
// in a mount namespace of its own.
func (c *Clearer) users(left []busy) []user {
	ids, devs := map[string]bool{}, map[string]bool{}
	for _, b := range left {
		ids[strconv.Itoa(b.ID)] = true
		devs[b.Dev] = true
	}
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	ours, _ := os.Readlink("/proc/self/ns/mnt")
	first, _ := os.Readlink("/proc/1/ns/mnt")
	foreign := map[string]string{} // mount namespace → why it is a user, "" if it is none
	var out []user
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		why, spared := "", pid == 1 || pid == os.Getpid() || pid == os.Getppid()
		if ns, err := os.Readlink("/proc/" + name.Name() + "/ns/mnt"); err == nil && ns != ours {
			known := false
			if why, known = foreign[ns]; !known {
				why = c.mountedIn(name.Name())
				foreign[ns] = why
			}
			// Mounted also where the machine itself lives: its processes are not to be
			// killed one and all. Where that cannot be told, it may be so.
			spared = spared || why != "" && (first == "" || ns == first)
		}
		if why == "" && len(ids) > 0 {
			why = c.uses(name.Name(), ids, devs)
		}
		if why != "" {
			out = append(out, user{pid, why, spared})
		}
	}
	return out
}

// mountedIn says what of the file systems is mounted in the namespace of a process.
func (c *Clearer) mountedIn(pid string) string {
	if len(c.own) == 0 {
		return ""
	}
	list, err := read(pid)
	if err != nil {
		return ""
	}
	for _, m := range list {
		if c.own[m.fileSystem()] {
			return fmt.Sprintf("has it at %s in a mount namespace of its own", m.Point)
		}
	}
	return ""
}

// uses says how a process uses one of the mounts. Links are compared by name first,
// which costs nothing, and then by the mount that they lead to: in another mount
// namespace the same name is another file.
func (c *Clearer) uses(pid string, ids, devs map[string]bool) string {
	dir := "/proc/" + pid + "/"
	for _, link := range [...]string{"cwd", "root", "exe"} {
		if c.leadsTo(dir+link, ids) {
			return link
		}
	}
	fds, _ := os.ReadDir(dir + "fd")
	for _, fd := range fds {
		path, err := os.Readlink(dir + "fd/" + fd.Name())
		if err == nil && c.isNamed(path) && ids[mountID(dir+"fdinfo/"+fd.Name())] {
			return "open file " + path
		}
	}
	maps, _ := os.ReadFile(dir + "maps")
	for line := range strings.Lines(string(maps)) {
		// from-to perms offset device inode path; the device is in hexadecimal.
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "/", 2)
		g := strings.Fields(f[0])
		if len(f) == 2 && len(g) >= 5 && c.isNamed("/"+f[1]) && devs[decimal(g[3])] {
			return "mapping of /" + f[1]
		}
	}
	return ""
}

// isNamed says whether a path, as a link of /proc shows it, is below a point.
func (c *Clearer) isNamed(path string) bool {
	return slices.ContainsFunc(c.points, func(p string) bool { return isBelow(strings.TrimSuffix(path, " (deleted)"), p) })
}

func (c *Clearer) leadsTo(link string, ids map[string]bool) bool {
	path, err := os.Readlink(link)
	if err != nil || !c.isNamed(path) {
		return false
	}
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return ids[mountID(filepath.Join("/proc/self/fdinfo", strconv.Itoa(fd)))]
}

// mountID reads mnt_id of a fdinfo file (proc_pid_fdinfo(5)), "" where there is none.
func mountID(file string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id)
		}
	}
	return ""
}

// decimal makes "8:1" of "08:01".
func decimal(dev string) string {
	major, minor, _ := strings.Cut(dev, ":")
	a, err1 := strconv.ParseUint(major, 16, 32)
	b, err2 := strconv.ParseUint(minor, 16, 32)
	if err1 != nil || err2 != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", a, b)
}
