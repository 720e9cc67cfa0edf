package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Trust says whether the file may be run: whoever can change it, or put another in
// its place, gets what batond is. So the file, every directory above it and, through
// symbolic links, every directory on the way must belong to root or to the user that
// batond runs as, and nobody else may write there.
func Trust(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("script %s: not an absolute path", path)
	}
	real, err := walk(path)
	if err != nil {
		return fmt.Errorf("script %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(real, &st); err != nil {
		return fmt.Errorf("script %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("script %s: not a regular file", path)
	}
	if st.Mode&0o111 == 0 {
		return fmt.Errorf("script %s: not executable, use chmod +x", path)
	}
	return nil
}

// walk follows the path as the kernel does, looking at everything on the way: each
// symbolic link, and the directories that it leads through.
func walk(path string) (string, error) {
	const most = 40 // links, as for the kernel
	at := "/"
	rest := strings.Split(path, "/")
	if err := trustOne(at); err != nil {
		return "", err
	}
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		if err := trustOne(next); err != nil {
			return "", err
		}
		target, err := os.Readlink(next)
		if err != nil { // no link
			at = next
			continue
		}
		if links++; links > most {
			return "", fmt.Errorf("%s: more than %d symbolic links", next, most)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

func trustOne(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() && !unmappedRoot(st.Uid) {
		return fmt.Errorf("%s belongs to uid %d, use chown root", path, st.Uid)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil // its own mode means nothing
	}
	// In a sticky directory (/tmp) others can add files but not replace ours.
	sticky := st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0
	if st.Mode&0o022 != 0 && !sticky {
		return fmt.Errorf("%s can be written by others than its owner (mode %04o), use chmod go-w", path, st.Mode&0o7777)
	}
	return nil
}

// unmappedRoot says whether the uid may stand for the machine's root, which has no
// number of its own in a user namespace (user_namespaces(7), "Unmapped user and group
// IDs"). Every other user without a number looks the same there.
func unmappedRoot(uid uint32) bool {
	overflow, err := readUint("/proc/sys/kernel/overflowuid")
	if err != nil || uid != overflow {
		return false
	}
	whole, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(whole))
	initial := len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295"
	return err == nil && !initial
}

func readUint(path string) (uint32, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var n uint32
	if _, err := fmt.Sscan(string(b), &n); err != nil {
		return 0, errors.Join(errors.New(path), err)
	}
	return n, nil
}
