package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"baton/core/cluster"
)

// ErrNoDaemon says that nobody answers on the socket, or no longer. Use errors.Is.
var ErrNoDaemon = errors.New("no batond")

// Client asks a batond. It may be used by several goroutines and keeps no connection
// between requests, so a restarted batond is simply found again.
type Client struct {
	socket string
	http   *http.Client
}

// Dial makes a client for the socket; it does no I/O yet. "" means DefaultSocket.
func Dial(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	var d net.Dialer
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
		DisableKeepAlives: true,
	}}}
}

// Socket is the path that the client asks at.
func (c *Client) Socket() string { return c.socket }

// Status asks for the picture as of now.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	if err := c.call(ctx, http.MethodGet, "/v1/status", nil, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Events returns the oldest events with an ID above after, at most limit; with after
// 0 the newest limit ones. Oldest first. Limit 0 leaves the number to the server.
func (c *Client) Events(ctx context.Context, after uint64, limit int) ([]cluster.Event, error) {
	q := url.Values{}
	if after > 0 {
		q.Set("after", strconv.FormatUint(after, 10))
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var ev []cluster.Event
	err := c.call(ctx, http.MethodGet, "/v1/events?"+q.Encode(), nil, &ev)
	return ev, err
}

// Operate asks for an operation and returns when the log has it, or with an *Error
// that says why not. With Dry it only asks whether it would be accepted, and the ID
// is empty.
func (c *Client) Operate(ctx context.Context, op Operation) (Accepted, error) {
	body, err := json.Marshal(op)
	if err != nil {
		return Accepted{}, err
	}
	var a Accepted
	err = c.call(ctx, http.MethodPost, "/v1/operations", body, &a)
	return a, err
}

// Operation asks how far an operation is. With wait above 0 it returns when the
// operation has ended or wait is over, whichever is first.
func (c *Client) Operation(ctx context.Context, id string, wait time.Duration) (cluster.Op, error) {
	path := "/v1/operations/" + url.PathEscape(id)
	if wait > 0 {
		path += "?wait=" + min(wait, maxWait).String()
	}
	var op cluster.Op
	err := c.call(ctx, http.MethodGet, path, nil, &op)
	return op, err
}

// Wait returns when the operation has ended, or with an error. Bound it by ctx.
func (c *Client) Wait(ctx context.Context, id string) (cluster.Op, error) {
	for {
		op, err := c.Operation(ctx, id, 30*time.Second)
		if err != nil || op.State != cluster.OpRunning {
			return op, err
		}
	}
}

// Watcher is a stream of pictures.
type Watcher struct{ *feed[Status] }

// Watch asks for pictures: the first at once, then at every change, and at least one
// each second. A reader that is slower gets the newest only.
func (c *Client) Watch(ctx context.Context) (*Watcher, error) {
	f, err := openFeed[Status](ctx, c, "/v1/watch", true)
	if err != nil {
		return nil, err
	}
	return &Watcher{f}, nil
}

// Follower is a stream of events.
type Follower struct{ *feed[cluster.Event] }

// Follow asks for the events with an ID above after, and then for each new one. With
// after 0 it begins with the newest ones, as many as the server thinks fit.
func (c *Client) Follow(ctx context.Context, after uint64) (*Follower, error) {
	path := "/v1/events?follow=1"
	if after > 0 {
		path += "&after=" + strconv.FormatUint(after, 10)
	}
	f, err := openFeed[cluster.Event](ctx, c, path, false)
	if err != nil {
		return nil, err
	}
	return &Follower{f}, nil
}

// call makes one request and decodes its answer.
func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	resp, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return c.explain(fmt.Errorf("answer of batond: %w", err))
	}
	return nil
}

// request returns an answer below 400, or an error that says everything.
func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://batond"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, c.explain(err)
	}
	var e Error
	if json.Unmarshal(b, &e) != nil || e.Message == "" {
		e = Error{Code: CodeInternal, Message: fmt.Sprintf("batond answered %s: %s", resp.Status, strings.TrimSpace(shorten(string(b), 200)))}
	}
	return nil, &e
}

// explain says what an error of the connection means.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w at %s: is it running? (systemctl status batond; --socket or BATON_SOCKET say where it listens)", ErrNoDaemon, c.socket)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return &Error{
			Code: CodeNotPermitted, Message: fmt.Sprintf("socket %s: permission denied", c.socket),
			Hint: fmt.Sprintf("ask root, or have root add you to group %s and log in again", GroupOperate),
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w at %s any more: it ended before it had answered", ErrNoDaemon, c.socket)
	}
	return err
}

// feed reads a stream in a goroutine of its own, so that Next can be given up.
type feed[T any] struct {
	items  chan *T
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// openFeed begins a stream. With newest, items that nobody took are replaced; else
// the stream waits for its reader.
func openFeed[T any](ctx context.Context, c *Client, path string, newest bool) (*feed[T], error) {
	ctx, cancel := context.WithCancel(ctx)
	resp, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	f := &feed[T]{items: make(chan *T, 1), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		defer cancel()
		defer resp.Body.Close()
		r := bufio.NewReaderSize(resp.Body, 64<<10)
		for {
			b, err := nextMessage(r, maxLine)
			if err != nil {
				f.err = c.explain(err)
				return
			}
			item := new(T)
			if err := json.Unmarshal(b, item); err != nil {
				f.err = fmt.Errorf("stream of batond: %w", err)
				return
			}
			if newest {
				select {
				case <-f.items:
				default:
				}
			}
			select {
			case f.items <- item:
			case <-ctx.Done():
				f.err = ctx.Err()
				return
			}
		}
	}()
	return f, nil
}

// Next returns the next item, or why there is none: ctx's error (the stream goes on),
// or the stream's own (it is over, and Next will say so again). ErrNoDaemon is among
// the latter.
func (f *feed[T]) Next(ctx context.Context) (*T, error) {
	select {
	case item := <-f.items:
		return item, nil
	default:
	}
	select {
	case item := <-f.items:
		return item, nil
	case <-f.done:
		select { // the last item may have come together with the end
		case item := <-f.items:
			return item, nil
		default:
			return nil, f.err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the stream and waits for its goroutine.
func (f *feed[T]) Close() {
	f.cancel()
	<-f.done
}
