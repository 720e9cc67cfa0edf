package store

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// File is the name of the store's file in the state directory.
const File = "baton.db"

// bucket holds every key. Its name is the format's version: another format would use
// another bucket.
var bucket = []byte("baton1")

// initialMmap is address space, not memory, set aside for the file. The state and
// some thousand log entries are a few MiB; within this size bbolt never has to map
// the file anew.
const initialMmap = 64 << 20

// lockWait is how long Open waits for another process to let go of the file. A
// batond that is just ending needs some milliseconds.
const lockWait = time.Second

func options() *bolt.Options {
	return &bolt.Options{
		Timeout: lockWait,
		// The list of free pages is found again at open: a few milliseconds then
		// instead of one more page in every commit.
		NoFreelistSync:  true,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: initialMmap,
		NoStatistics:    true,
	}
}

// open opens the file in dir for writing. Its errors name the directory or file.
func open(dir string) (*bolt.DB, error) {
	if err := prepare(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, File)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(dir, path); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
	}
	if err := inspect(path); err != nil {
		return nil, explain(path, err)
	}
	db, err := bolt.Open(path, 0o600, options())
	if err != nil {
		return nil, explain(path, err)
	}
	return db, nil
}

// prepare makes the directory and refuses one in which anybody could put another
// file in the place of ours.
func prepare(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
			return err
		}
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s: not a directory; name another state_dir", dir)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("%s: everybody may write in it (mode %#o); chmod 0700 it", dir, info.Mode().Perm())
	}
	return nil
}

// create makes an empty store under another name and gives it its own only when it
// is on disk: a crash on the way leaves no store instead of half of one. Of two
// processes one wins, and the other opens what that one has made.
func create(dir, path string) (err error) {
	f, err := os.CreateTemp(dir, "."+File+".*")
	if err != nil {
		return err
	}
	f.Close()
	defer os.Remove(f.Name())
	db, err := bolt.Open(f.Name(), 0o600, options())
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// inspect walks over the whole file before it is opened for writing: bbolt looks for
// free pages in a goroutine of its own, where a damaged page would end the process
// without a word.
func inspect(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer caught(&err)
	o := options()
	o.ReadOnly = true
	db, err := bolt.Open(path, 0o600, o)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return errors.New("not a store of this version of baton")
		}
		return b.ForEach(func(_, _ []byte) error { return nil })
	})
}

// explain adds to an error what an operator can do about it.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s: in use by %s; stop that one first, or give this one another state_dir", path, holder(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run batond as the user the file belongs to", err)
	default:
		return fmt.Errorf("%s: %w; if its disk is sound, move the file away: this server then joins as a new one", path, err)
	}
}

// holder says who has locked the file, as far as the kernel tells: proc(5),
// /proc/locks. Within a container the process may have no number here.
func holder(path string) string {
	const unknown = "another process"
	info, err := os.Stat(path)
	if err != nil {
		return unknown
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return unknown
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	f, err := os.Open("/proc/locks")
	if err != nil {
		return unknown
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 733 fd:00:1310 0 EOF
		field := strings.Fields(lines.Text())
		if len(field) < 6 || field[1] != "FLOCK" || field[5] != file {
			continue
		}
		pid, err := strconv.Atoi(field[4])
		if err != nil || pid <= 0 {
			continue
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			return fmt.Sprintf("process %d", pid)
		}
		return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
	}
	return unknown
}
