package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"baton/core/cluster"
)

// maxFrom and maxName bound what a caller can put into the replicated log, in bytes.
const (
	maxFrom = 80
	maxName = 128
)

// verbs are the operations and what they need; the cluster's own rules come later.
var verbs = map[cluster.Verb]struct{ group, server bool }{
	cluster.VerbStart:           {group: true},
	cluster.VerbStop:            {group: true},
	cluster.VerbMove:            {group: true},
	cluster.VerbFailover:        {group: true},
	cluster.VerbRestart:         {group: true},
	cluster.VerbDisconnect:      {server: true},
	cluster.VerbReturn:          {server: true},
	VerbForceReturn:             {server: true},
	cluster.VerbShutdown:        {server: true},
	cluster.VerbShutdownCluster: {},
}

// decodeOperation reads one operation, strictly: an unknown field may be a wish that
// this batond would silently not fulfil.
func decodeOperation(r io.Reader) (Operation, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var op Operation
	if err := d.Decode(&op); err != nil {
		return op, badBody(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return op, &Error{Code: CodeBadRequest, Message: "body: more than one JSON value"}
	}
	need, ok := verbs[op.Verb]
	switch {
	case !ok:
		return op, &Error{
			Code: CodeBadRequest, Message: fmt.Sprintf("verb: %q is none", shorten(string(op.Verb), maxName)),
			Hint: "start, stop, move, failover, restart, disconnect, return, force-return, shutdown, shutdown-cluster",
		}
	case need.group && op.Group == "":
		return op, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("group: %s needs one", op.Verb)}
	case need.server && op.Server == "":
		return op, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("server: %s needs one", op.Verb)}
	case !need.group && op.Group != "":
		return op, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("group: %s takes none", op.Verb)}
	case op.Verb == cluster.VerbShutdownCluster && op.Server != "":
		return op, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("server: %s takes none", op.Verb)}
	case op.Then != "" && op.Verb != cluster.VerbShutdown && op.Verb != cluster.VerbShutdownCluster:
		return op, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("then: %s takes none", op.Verb)}
	case op.Then != "" && op.Then != cluster.ThenPowerOff && op.Then != cluster.ThenReboot:
		return op, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("then: %q is neither poweroff nor reboot", shorten(string(op.Then), maxName))}
	}
	for _, n := range []struct{ field, value string }{{"group", op.Group}, {"server", op.Server}} {
		if len(n.value) > maxName || strings.ContainsFunc(n.value, unicode.IsControl) || !utf8.ValidString(n.value) {
			return op, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("%s: %q is no name of at most %d bytes", n.field, shorten(n.value, maxName), maxName)}
		}
	}
	return op, nil
}

func badBody(err error) *Error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("body: longer than %d bytes", maxBody)}
	}
	text := strings.TrimPrefix(err.Error(), "json: ")
	if err == io.EOF {
		text = "empty"
	}
	return &Error{Code: CodeBadRequest, Message: "body: " + shorten(text, 200), Hint: `for example {"verb":"move","group":"A","server":"server2"}`}
}

// cleanFrom makes one short line of what the caller says about where he is: it goes
// into logs and onto other people's terminals.
func cleanFrom(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.In(r, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(shorten(s, maxFrom))
}

// shorten cuts at n bytes, but never within a character.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
