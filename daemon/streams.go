package main

import (
	"log/slog"

	"baton/conf"
	"baton/core/node"
)

type discard struct{}

func (discard) Send([]node.Message) {}

func (m *machine) openStreams(c *conf.Config, id identity, keys []conf.Key, log *slog.Logger, tidy *cleanup) error {
	m.stream = discard{}
	return nil
}
