package witness

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"baton/core/epoch"

	"golang.org/x/sys/unix"
)

// A register is a file of the state directory, named by the cluster's id: one line of
// text with a checksum, replaced as a whole. All registers are in memory as well; a
// file is read at the start only.
//
//	baton-register-1 cluster=00000000000000a1 owner="payroll" epoch=7 founder=1f02 sum=...
const (
	registerExt   = ".register"
	registerMagic = "baton-register-1"
	instanceFile  = "instance"
	lockFile      = "lock"
	// maxRegisters bounds how many a key file may have. A cluster that is created
	// anew with the same key takes one more.
	maxRegisters = 64
	maxFile      = 4096 // bytes
)

// register is what the witness knows of one cluster.
type register struct {
	owner string // name of the key file
	top   epoch.ID
	// damaged: the file could not be read. Such a register refuses; taking it for a
	// missing one would enrol the cluster anew.
	damaged error
}

func encodeRegister(cluster uint64, r register) []byte {
	line := fmt.Sprintf("%s cluster=%016x owner=%s epoch=%d founder=%x", registerMagic, cluster, strconv.Quote(r.owner), r.top.Number, uint64(r.top.Founder))
	sum := sha256.Sum256([]byte(line))
	return fmt.Appendf(nil, "%s sum=%x\n", line, sum)
}

func decodeRegister(b []byte) (cluster uint64, r register, err error) {
	var (
		magic, owner, sum string
		founder           uint64
	)
	n, err := fmt.Sscanf(string(b), "%s cluster=%x owner=%q epoch=%d founder=%x sum=%s\n", &magic, &cluster, &owner, &r.top.Number, &founder, &sum)
	if err != nil || n != 6 || magic != registerMagic {
		return 0, register{}, errors.New("not a register")
	}
	r.owner, r.top.Founder = owner, epoch.RaftID(founder)
	// There is one way to write a register; this checks the sum too.
	if !bytes.Equal(b, encodeRegister(cluster, r)) {
		return 0, register{}, errors.New("checksum is wrong")
	}
	if cluster == 0 || r.top.Number == 0 || r.owner == "" {
		return 0, register{}, errors.New("not a register")
	}
	return cluster, r, nil
}

// store is the state directory.
type store struct {
	dir       string
	lock      *os.File
	instance  instance
	registers map[uint64]*register // by cluster id
}

// openStore locks the directory and reads it. damaged are the files that could not be
// read, each with its reason; their clusters are refused.
func openStore(dir string) (s *store, damaged []error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	s = &store{dir: dir, registers: map[uint64]*register{}}
	if s.lock, err = os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, nil, err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		s.close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil, fmt.Errorf("%s: in use by another witness; stop that one first, or give this one another state directory", dir)
		}
		return nil, nil, err
	}
	if damaged, err = s.load(); err == nil {
		err = s.loadInstance()
	}
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return s, damaged, nil
}

func (s *store) close() { s.lock.Close() }

func (s *store) load() (damaged []error, err error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "*"+registerExt))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		named, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), registerExt), 16, 64)
		if err != nil {
			damaged = append(damaged, fmt.Errorf("%s: not named as a register", path))
			continue
		}
		r, err := readRegister(path, named)
		if err != nil {
			damaged = append(damaged, fmt.Errorf("%s: %w", path, err))
			r = register{damaged: err}
		}
		s.registers[named] = &r
	}
	return damaged, nil
}

func readRegister(path string, named uint64) (register, error) {
	b, err := readSmall(path)
	if err != nil {
		return register{}, err
	}
	cluster, r, err := decodeRegister(b)
	if err == nil && cluster != named {
		err = fmt.Errorf("is of cluster %016x", cluster)
	}
	return r, err
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// loadInstance reads the number of this state directory, or draws one.
func (s *store) loadInstance() error {
	b, err := readSmall(filepath.Join(s.dir, instanceFile))
	if err == nil {
		raw, err := hex.DecodeString(strings.TrimSpace(string(b)))
		if err == nil && len(raw) == len(s.instance) {
			s.instance = instance(raw)
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rand.Read(s.instance[:])
	return s.replace(instanceFile, fmt.Appendf(nil, "%x\n", s.instance))
}

// put makes r the cluster's register. It returns when the disk has it; after an error
// the register is what it was, for nobody has been told of another one.
func (s *store) put(cluster uint64, r register) error {
	if err := s.replace(fmt.Sprintf("%016x%s", cluster, registerExt), encodeRegister(cluster, r)); err != nil {
		return err
	}
	s.registers[cluster] = &r
	return nil
}

// replace writes a file under another name, and gives it its own when it is on disk.
func (s *store) replace(name string, content []byte) error {
	tmp := filepath.Join(s.dir, name+".tmp")
	if err := writeSynced(tmp, content); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, name)); err != nil {
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// countOf is how many registers a key file has.
func (s *store) countOf(owner string) (n int) {
	for _, r := range s.registers {
		if r.owner == owner {
			n++
		}
	}
	return n
}
