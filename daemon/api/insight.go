package api

import (
	"context"
	"net/http"
	"net/url"

	"baton/core/cluster"
)

// Reason answers GET /v1/groups/NAME/why.
type Reason struct {
	Group string `json:"group"`
	// Why is one sentence: where the group is, what decided that, and what would bring
	// it where it belongs. Times in it are the answering server's local ones.
	Why string `json:"why"`
}

// ScriptLog answers GET /v1/groups/NAME/log: the end of the log file of a group's scripts
// on the server that answers. Lines that begin with "#" are batond's own: what ran, with
// which variables, and how it ended.
type ScriptLog struct {
	Group  string `json:"group"`
	Server string `json:"server"`
	Text   string `json:"text"`
}

// maxLog bounds the answer, in bytes: what a person reads. The whole is in the file.
const maxLog = 64 << 10

func (s *Service) getLog(w http.ResponseWriter, r *http.Request, _ caller) {
	group := r.PathValue("group")
	pic, err := s.cfg.Backend.Status(r.Context())
	if err != nil {
		writeFailure(w, err)
		return
	}
	text, err := s.cfg.Backend.ScriptLog(r.Context(), group, maxLog)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, ScriptLog{Group: group, Server: pic.Server, Text: text})
}

// VerbForceReturn lets the server that is asked go on without the others, which the
// operator has made sure are off. It is not an operation of the cluster, which cannot
// decide then: this server's batond carries it out alone, and the answer is 202
// without an id.
const VerbForceReturn cluster.Verb = "force-return"

func (s *Service) getWhy(w http.ResponseWriter, r *http.Request, _ caller) {
	group := r.PathValue("group")
	why, err := s.cfg.Backend.Why(r.Context(), group)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, Reason{Group: group, Why: why})
}

func (s *Service) getForecast(w http.ResponseWriter, r *http.Request, _ caller) {
	what := r.URL.Query().Get("what")
	if len(what) > maxWhat {
		badRequest(w, "what: %d bytes is above %d", len(what), maxWhat)
		return
	}
	f, err := s.cfg.Backend.Foresee(r.Context(), what)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, f)
}

// maxWhat bounds what is to be supposed: sixteen names and a word.
const maxWhat = 2048

// Why asks why a group is where it is.
func (c *Client) Why(ctx context.Context, group string) (string, error) {
	var out Reason
	err := c.call(ctx, http.MethodGet, "/v1/groups/"+url.PathEscape(group)+"/why", nil, &out)
	return out.Why, err
}

// ScriptLog asks for the end of what a group's scripts have printed on the server asked.
func (c *Client) ScriptLog(ctx context.Context, group string) (ScriptLog, error) {
	var out ScriptLog
	err := c.call(ctx, http.MethodGet, "/v1/groups/"+url.PathEscape(group)+"/log", nil, &out)
	return out, err
}

// Foresee asks what would happen, e.g. if "server2 fails". Nothing is done.
func (c *Client) Foresee(ctx context.Context, what string) (cluster.Forecast, error) {
	var out cluster.Forecast
	err := c.call(ctx, http.MethodGet, "/v1/forecast?what="+url.QueryEscape(what), nil, &out)
	return out, err
}
