package script

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// LogSize is when a log is cut. Three are kept besides: enough for the last
	// days of an ordinary script, and nothing for a disk.
	LogSize  = 1 << 20
	logsKept = 3
)

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	if err := Trim(path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// Trim moves a log longer than LogSize to path.1, and that to path.2 and so on. The
// file itself stays and is cut to nothing, for daemons that a script has left go on
// writing to it (appending, so they begin at 0 again). What is written between the
// copy and the cut is lost. Of a log that has grown far beyond the size only the end
// is kept. batond calls it now and then, the step child while a script runs.
func Trim(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() <= LogSize {
		return err
	}
	if _, err := f.Seek(-LogSize, io.SeekEnd); err != nil {
		return err
	}
	old := func(n int) string { return fmt.Sprintf("%s.%d", path, n) }
	for n := logsKept - 1; n >= 1; n-- {
		if err := os.Rename(old(n), old(n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	copied, err := os.OpenFile(old(1), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(copied, io.LimitReader(f, LogSize))
	return errors.Join(err, copied.Close(), f.Truncate(0))
}

// Tail is the end of a log, at most so many bytes in whole lines; where the log has just
// been cut, with the end of what was moved aside. Nothing where there is no log.
func Tail(path string, most int) ([]byte, error) {
	text, err := tail(path, most)
	if err == nil && len(text) < most {
		var before []byte
		before, err = tail(path+".1", most-len(text))
		text = append(before, text...)
	}
	return text, err
}

func tail(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, st.Size()-int64(most))
	text := make([]byte, st.Size()-from)
	n, err := f.ReadAt(text, from)
	if err != nil && !errors.Is(err, io.EOF) { // it may be cut meanwhile
		return nil, err
	}
	text = text[:n]
	if from > 0 {
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	return text, nil
}
