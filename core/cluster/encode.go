package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Clone returns a copy that shares nothing with the state.
func (s *State) Clone() *State {
	c := *s
	c.Config = s.Config.clone()
	c.Servers = slices.Clone(s.Servers)
	for i := range c.Servers {
		sv := &c.Servers[i]
		sv.FailedWith = slices.Clone(sv.FailedWith)
		sv.Recovering = slices.Clone(sv.Recovering)
	}
	c.Groups = slices.Clone(s.Groups)
	for i := range c.Groups {
		g := &c.Groups[i]
		g.Anomalies = slices.Clone(g.Anomalies)
		g.Next = slices.Clone(g.Next)
		if g.Step != nil {
			step := *g.Step
			g.Step = &step
		}
	}
	c.Ops = slices.Clone(s.Ops)
	c.Events = slices.Clone(s.Events)
	return &c
}

func (c *Config) clone() Config {
	out := *c
	out.Servers = slices.Clone(c.Servers)
	out.Groups = slices.Clone(c.Groups)
	for i := range out.Groups {
		out.Groups[i].Policy = slices.Clone(c.Groups[i].Policy)
	}
	return out
}

// Encode writes the state. Equal states give equal bytes.
func (s *State) Encode() []byte {
	c := *s
	c.Version = Version
	return mustJSON(&c)
}

// Decode reads what Encode has written. It refuses a state of a later version, and
// one that contradicts itself.
func Decode(b []byte) (*State, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("cluster state: %w", err)
	}
	if head.Version < 1 || head.Version > Version {
		return nil, fmt.Errorf("cluster state: version %d, this batond knows 1 to %d: install the newer batond here too", head.Version, Version)
	}
	s := &State{}
	if err := strict(b, s); err != nil {
		return nil, fmt.Errorf("cluster state: %w", err)
	}
	if fault := s.storedFault(); fault != "" {
		return nil, fmt.Errorf("cluster state: %s", fault)
	}
	return s, nil
}

// EncodeCommand writes a command for the log.
func EncodeCommand(c Command) []byte { return mustJSON(&c) }

// DecodeCommand reads what EncodeCommand has written. Unknown fields and kinds are
// errors: half of a command must not be applied.
func DecodeCommand(b []byte) (Command, error) {
	var c Command
	if err := strict(b, &c); err != nil {
		return Command{}, fmt.Errorf("command: %w", err)
	}
	switch c.Kind {
	case KindConfigure, KindArrive, KindLost, KindBegin, KindResult, KindAnomaly, KindNormal, KindOperate, KindNote:
		return c, nil
	}
	return Command{}, fmt.Errorf("command: unknown kind %q", c.Kind)
}

// strict decodes exactly one JSON value that has no field unknown to v.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// mustJSON encodes values of this package, in which nothing can fail to encode.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cluster: encode %T: %v", v, err))
	}
	return b
}
