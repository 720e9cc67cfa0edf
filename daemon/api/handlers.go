package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"baton/core/cluster"
)

// Bounds of requests.
const (
	defaultEvents = cluster.KeepEvents
	maxEvents     = 4096
	maxWait       = 5 * time.Minute
	// appearWait is how long a waiting request for an operation waits for it to be
	// known here: the log has it, but this server may not have applied it yet.
	appearWait = 2 * time.Second
)

func (s *Service) getStatus(w http.ResponseWriter, r *http.Request, who caller) {
	pic, err := s.cfg.Backend.Status(r.Context())
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, forCaller(pic, who))
}

func forCaller(pic *Status, who caller) *Status {
	p := *pic
	p.Operator = who.operator
	return &p
}

func (s *Service) getWatch(w http.ResponseWriter, r *http.Request, who caller) {
	pics := s.cfg.Backend.Watch(r.Context())
	st := newStream(w)
	for {
		select {
		case pic, ok := <-pics:
			if !ok {
				return
			}
			if st.send("", forCaller(pic, who)) != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-s.ended:
			return
		}
	}
}

func (s *Service) getEvents(w http.ResponseWriter, r *http.Request, _ caller) {
	q := r.URL.Query()
	limit := defaultEvents
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxEvents {
			badRequest(w, "limit: %q is no number from 1 to %d", v, maxEvents)
			return
		}
		limit = n
	}
	text := q.Get("after")
	follow := q.Get("follow") == "1"
	if last := r.Header.Get("Last-Event-ID"); follow && last != "" {
		text = last // the stream was cut: go on where it was
	}
	var events []cluster.Event
	more := s.cfg.Backend.MoreEvents()
	after := uint64(0)
	if text == "" {
		events = s.cfg.Backend.Newest(limit)
	} else {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			badRequest(w, "after: %q is no event's id", text)
			return
		}
		events = s.cfg.Backend.Events(after, limit)
	}
	if !follow {
		if events == nil {
			events = []cluster.Event{}
		}
		writeJSON(w, http.StatusOK, events)
		return
	}
	s.followEvents(w, r, events, after, more)
}

func (s *Service) followEvents(w http.ResponseWriter, r *http.Request, events []cluster.Event, after uint64, more <-chan struct{}) {
	st := newStream(w)
	quiet := time.NewTicker(quietAfter)
	defer quiet.Stop()
	for {
		for i := range events {
			if st.send(strconv.FormatUint(events[i].ID, 10), &events[i]) != nil {
				return
			}
			after = events[i].ID
		}
		if len(events) == 0 {
			select {
			case <-more:
			case <-quiet.C:
				if st.ping() != nil {
					return
				}
				continue
			case <-r.Context().Done():
				return
			case <-s.ended:
				return
			}
		}
		// In this order: an event that comes in between is in the answer, and closes
		// the channel as well.
		more = s.cfg.Backend.MoreEvents()
		events = s.cfg.Backend.Events(after, defaultEvents)
	}
}

func (s *Service) postOperation(w http.ResponseWriter, r *http.Request, who caller) {
	if !who.operator {
		s.log.Warn("operation not permitted", "user", who.name(), "uid", who.UID, "pid", who.PID)
		writeError(w, http.StatusForbidden, notPermitted(who.Peer, "operate", GroupOperate))
		return
	}
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerTimeout))
	req, err := decodeOperation(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeFailure(w, err)
		return
	}
	op := cluster.Op{
		ID: newID(), Verb: req.Verb, Group: req.Group, Server: req.Server, Revision: req.Revision, Then: req.Then,
		Who: recordOf(who.Peer, req.From),
	}
	if req.Verb == VerbForceReturn && !req.Dry {
		if err := s.cfg.Backend.Force(r.Context(), req.Server, op.Who); err != nil {
			writeFailure(w, err)
			return
		}
		writeJSON(w, http.StatusAccepted, Accepted{})
		return
	}
	if req.Dry {
		if err := s.cfg.Backend.Check(r.Context(), op); err != nil {
			writeFailure(w, err)
			return
		}
		writeJSON(w, http.StatusOK, Accepted{})
		return
	}
	if err := s.cfg.Backend.Operate(r.Context(), op); err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusAccepted, Accepted{ID: op.ID})
}

func (s *Service) getOperation(w http.ResponseWriter, r *http.Request, _ caller) {
	id := r.PathValue("id")
	var wait time.Duration
	if v := r.URL.Query().Get("wait"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 || d > maxWait {
			badRequest(w, "wait: %q is no duration from 0s to %s", v, maxWait)
			return
		}
		wait = d
	}
	pic, err := s.cfg.Backend.Status(r.Context())
	if err != nil {
		writeFailure(w, err)
		return
	}
	op, known := findOp(pic, id)
	if wait > 0 && (!known || op.State == cluster.OpRunning) {
		op, known = s.awaitOp(r, id, wait)
	}
	if !known {
		writeError(w, http.StatusNotFound, &Error{
			Code: CodeNotFound, Message: fmt.Sprintf("operation %q is not known here", id),
			Hint: fmt.Sprintf("the last %d operations are kept; the event log goes further back", cluster.KeepOps),
		})
		return
	}
	writeJSON(w, http.StatusOK, op)
}

// awaitOp watches until the operation has ended or the time is up.
func (s *Service) awaitOp(r *http.Request, id string, wait time.Duration) (op cluster.Op, known bool) {
	pics := s.cfg.Backend.Watch(r.Context())
	end := time.NewTimer(wait)
	defer end.Stop()
	appear := time.NewTimer(min(wait, appearWait))
	defer appear.Stop()
	for {
		select {
		case pic, ok := <-pics:
			if !ok {
				return op, known
			}
			if o, ok := findOp(pic, id); ok {
				if op, known = o, true; op.State != cluster.OpRunning {
					return op, known
				}
			}
		case <-appear.C:
			if !known {
				return op, false
			}
		case <-end.C:
			return op, known
		case <-r.Context().Done():
			return op, known
		case <-s.ended:
			return op, known
		}
	}
}

func findOp(pic *Status, id string) (cluster.Op, bool) {
	for i := range pic.Ops {
		if pic.Ops[i].ID == id {
			return pic.Ops[i], true
		}
	}
	return cluster.Op{}, false
}

func badRequest(w http.ResponseWriter, format string, args ...any) {
	writeError(w, http.StatusBadRequest, &Error{Code: CodeBadRequest, Message: fmt.Sprintf(format, args...)})
}
