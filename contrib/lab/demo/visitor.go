package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"baton/contrib/lab"
)

// Times of the visitor.
const (
	// visitEvery is how often it asks. An outage is seen this much too long at most.
	visitEvery = 50 * time.Millisecond
	// visitPatience is how long one request may take. A SYN that is lost is sent again
	// only after a second; it is better to ask anew.
	visitPatience = 250 * time.Millisecond
	// noticeable is the shortest outage worth a mention.
	noticeable = 3 * visitEvery
)

// visitor is a client that asks the web server behind a floating IP all the time, one
// connection per request.
type visitor struct {
	url    string
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	server string    // who answered last
	last   time.Time // when; zero: never
	outage time.Duration
	ended  time.Time // of the latest outage
}

func newVisitor(l *lab.Lab, group string) *visitor {
	ip, err := l.Address(group)
	if err != nil {
		ip = netip.IPv4Unspecified()
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &visitor{url: "http://" + ip.String() + "/", cancel: cancel, done: make(chan struct{})}
	client := &http.Client{Timeout: visitPatience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err2 := l.ClientDo(func() error { // the socket must be the lab client's
				var d net.Dialer
				conn, err = d.DialContext(ctx, network, addr)
				return nil
			})
			if err2 != nil {
				err = err2
			}
			return conn, err
		},
	}}
	go v.run(ctx, client)
	return v
}

func (v *visitor) run(ctx context.Context, client *http.Client) {
	defer close(v.done)
	tick := time.NewTicker(visitEvery)
	defer tick.Stop()
	for {
		if text, err := get(ctx, client, v.url); err == nil {
			v.answered(text)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 200))
	return string(text), err
}

func (v *visitor) answered(text string) {
	server, _, _ := strings.Cut(strings.TrimSpace(text), ",")
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if gap := now.Sub(v.last); !v.last.IsZero() && gap > noticeable {
		v.outage, v.ended = gap, now
	}
	v.server, v.last = server, now
}

// line says in one line how the client fares.
func (v *visitor) line(t *texts) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	silent := time.Since(v.last)
	switch {
	case v.last.IsZero():
		return fmt.Sprintf(t.never, v.url)
	case silent > noticeable:
		return fmt.Sprintf(t.silent, v.url, silent.Seconds(), v.server)
	case v.ended.IsZero():
		return fmt.Sprintf(t.answers, v.url, v.server)
	}
	return fmt.Sprintf(t.outage, v.url, v.server, v.outage.Seconds(), time.Since(v.ended).Round(time.Second))
}

func (v *visitor) stop() {
	v.cancel()
	<-v.done
}
