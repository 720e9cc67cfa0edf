package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Server-sent events (WHATWG HTML, section 9.2), as far as they are needed: each
// message is an optional id line and one data line that holds JSON.

// quietAfter is how often a stream with nothing to say says so: a comment line, by
// which either end finds out that the other is gone.
const quietAfter = 15 * time.Second

// maxLine bounds a message on the client's side. A picture of 16 servers and 256
// groups is under 1 MiB.
const maxLine = 16 << 20

type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newStream(w http.ResponseWriter) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	s := &stream{w: w, rc: http.NewResponseController(w)}
	w.WriteHeader(http.StatusOK)
	s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	s.rc.Flush()
	return s
}

func (s *stream) send(id string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var msg bytes.Buffer
	if id != "" {
		fmt.Fprintf(&msg, "id: %s\n", id)
	}
	msg.WriteString("data: ")
	msg.Write(b)
	msg.WriteString("\n\n")
	return s.write(msg.Bytes())
}

func (s *stream) ping() error { return s.write([]byte(": quiet\n\n")) }

func (s *stream) write(b []byte) error {
	s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.rc.Flush()
}

// nextMessage reads the data of the next message of a stream, no line of which may be
// longer than limit bytes.
func nextMessage(r *bufio.Reader, limit int) ([]byte, error) {
	var data []byte
	for {
		line, err := readLine(r, limit)
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			if data != nil {
				return data, nil
			}
			continue
		}
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
		}
	}
}

func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, fmt.Errorf("message of the stream is longer than %d bytes: %w", limit, io.ErrShortBuffer)
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
