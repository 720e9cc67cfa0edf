package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of the server.
const (
	maxBody   = 64 << 10 // bytes; the longest sensible operation is under 1 KiB
	maxHeader = 16 << 10 // bytes
	// headerTimeout and idleTimeout end connections that say nothing.
	headerTimeout = 5 * time.Second
	idleTimeout   = time.Minute
	// writeTimeout ends a stream whose reader has not read for so long (a stopped
	// terminal). Shorter than a coffee, longer than a slow link.
	writeTimeout = 30 * time.Second
)

// Config is what a server needs.
type Config struct {
	Socket      string // path; DefaultSocket unless told otherwise
	Backend     Backend
	Permissions Permissions
	Log         *slog.Logger // nil: none
}

// Service serves the API until Close.
type Service struct {
	cfg     Config
	log     *slog.Logger
	http    http.Server
	ended   chan struct{} // closed by Close: streams end
	endOnce sync.Once
	served  chan error
}

// New makes the socket and serves on it.
func New(cfg Config) (*Service, error) {
	l, err := listenSocket(cfg.Socket, cfg.Permissions)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, log: cfg.Log, ended: make(chan struct{}), served: make(chan error, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.http = http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	go func() { s.served <- s.http.Serve(newBoundedListener(l)) }()
	return s, nil
}

// Close ends all streams, lets other requests end until ctx does, and removes the
// socket.
func (s *Service) Close(ctx context.Context) error {
	s.endOnce.Do(func() { close(s.ended) })
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if e := <-s.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	s.served <- http.ErrServerClosed // so that Close may be called again
	return err
}

func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/status", s.view(http.MethodGet, s.getStatus))
	mux.HandleFunc("/v1/watch", s.view(http.MethodGet, s.getWatch))
	mux.HandleFunc("/v1/events", s.view(http.MethodGet, s.getEvents))
	mux.HandleFunc("/v1/groups/{group}/why", s.view(http.MethodGet, s.getWhy))
	mux.HandleFunc("/v1/groups/{group}/log", s.view(http.MethodGet, s.getLog))
	mux.HandleFunc("/v1/forecast", s.view(http.MethodGet, s.getForecast))
	mux.HandleFunc("/v1/operations", s.view(http.MethodPost, s.postOperation))
	mux.HandleFunc("/v1/operations/{id}", s.view(http.MethodGet, s.getOperation))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, &Error{Code: CodeNotFound, Message: fmt.Sprintf("no such path: %q", r.URL.Path), Hint: "paths begin with /v1/: status, watch, events, operations"})
	})
	return mux
}

// view lets only those in who may at least view.
func (s *Service) view(method string, next func(http.ResponseWriter, *http.Request, caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, ok := r.Context().Value(connKey{}).(*boundedConn)
		if !ok || conn.tooMany {
			w.Header().Set("Connection", "close")
			writeError(w, http.StatusServiceUnavailable, &Error{
				Code: CodeTooBusy, Message: fmt.Sprintf("%d connections of this user are open, that is the limit", maxConnsPerUser),
				Hint: "close consoles that nobody looks at",
			})
			return
		}
		who := conn.peer
		if !s.cfg.Permissions.mayView(who) {
			s.log.Warn("api request refused", "user", who.name(), "uid", who.UID, "pid", who.PID, "path", r.URL.Path)
			writeError(w, http.StatusForbidden, notPermitted(who, "look at the cluster", GroupView+" (to look) or "+GroupOperate+" (to operate)"))
			return
		}
		if r.Method != method {
			w.Header().Set("Allow", method)
			writeError(w, http.StatusMethodNotAllowed, &Error{Code: CodeBadMethod, Message: fmt.Sprintf("%s %s: only %s", r.Method, r.URL.Path, method)})
			return
		}
		next(w, r, caller{Peer: who, operator: s.cfg.Permissions.mayOperate(who)})
	}
}

// caller is who asks, and whether he may operate.
type caller struct {
	Peer
	operator bool
}

func notPermitted(who Peer, what, groups string) *Error {
	name := who.name()
	return &Error{
		Code:    CodeNotPermitted,
		Message: fmt.Sprintf("user %s may not %s", name, what),
		Hint:    fmt.Sprintf("ask root, or have root add %s to group %s and log in again", name, groups),
	}
}

type connKey struct{}

// withPeer keeps for each request who has connected.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if b, ok := c.(*boundedConn); ok {
		return context.WithValue(ctx, connKey{}, b)
	}
	return ctx // nobody: view refuses him
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"code":"internal","message":"answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

func writeError(w http.ResponseWriter, status int, e *Error) { writeJSON(w, status, e) }

// writeFailure answers with what the backend said.
func writeFailure(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		if errors.Is(err, context.Canceled) {
			return // he is gone
		}
		e = &Error{Code: CodeInternal, Message: err.Error()}
	}
	writeError(w, statusOf(e.Code), e)
}

func statusOf(code string) int {
	switch code {
	case CodeBadRequest:
		return http.StatusBadRequest
	case CodeNotPermitted:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeInternal:
		return http.StatusInternalServerError
	case CodeNoQuorum, CodeNoAnswer, CodeStopping, CodeTooBusy:
		return http.StatusServiceUnavailable
	}
	return http.StatusConflict // refused by the cluster's rules
}

// newID names an operation: random, so that no two servers ever choose the same one.
func newID() string { return rand.Text()[:16] }
