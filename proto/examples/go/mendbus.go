package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/vmihailenco/msgpack/v5"
)

type object = map[string]any

// Bus is one agent's side of the wire contract.
type Bus struct {
	Root  string
	Agent object
	nc    *nats.Conn
	js    jetstream.JetStream

	lock   sync.Mutex
	outbox map[string]chan struct{} // ids of errors; the channel is closed when the error is settled
}

// Connect joins as KIND/ID under a new boot id, and goes on for as long as the server is away.
func Connect(url, root, name string, again func(*Bus)) (bus *Bus, err error) {
	kind, id, _ := strings.Cut(name, "/")
	agent := object{"kind": kind, "id": id, "version": "1.0.0", "instance": nuid.Next()}
	bus = &Bus{Root: root, Agent: agent, outbox: map[string]chan struct{}{}}
	options, err := access(kind, id)
	if err != nil {
		return nil, err
	}
	bus.nc, err = nats.Connect(url, append(options, nats.Name(name), nats.MaxReconnects(-1),
		nats.ReconnectHandler(func(*nats.Conn) { go again(bus) }))...)
	if err == nil {
		bus.js, err = jetstream.New(bus.nc)
	}
	return bus, err
}

func (bus *Bus) subject(family string) string {
	return fmt.Sprintf("%s.%s.%s.%s", bus.Root, family, bus.Agent["kind"], bus.Agent["id"])
}

// Publish sends what may be lost; Ask sends a request and gives the answer, which is nil where there is none.
func (bus *Bus) Publish(family string, body object) {
	_ = bus.nc.Publish(bus.subject(family), pack(body))
}

func (bus *Bus) Ask(family string, body object) object {
	reply, err := bus.nc.Request(bus.subject(family), pack(body), 2*time.Second)
	if err != nil {
		return nil
	}
	answer, _ := unpack(reply.Data)
	return answer
}

// Hear has messages handled one after the other. What is no valid message changes nothing.
func (bus *Bus) Hear(family string, handle func(object) object) error {
	_, err := bus.nc.Subscribe(bus.subject(family), func(message *nats.Msg) {
		if value(message, "Nats-Stream") != "" {
			return // a word of the server's
		} else if body, err := unpack(message.Data); err != nil {
			say("refused", "family", family, "detail", err.Error())
		} else if code := refusal(family, message, body); code != "" {
			_ = message.Respond(pack(object{"command_id": body["command_id"], "status": "unauthorized", "code": code}))
		} else if answer := handle(body); answer != nil {
			_ = message.Respond(pack(answer))
		}
	})
	return err
}

// Close sends what waits and leaves.
func (bus *Bus) Close() {
	if bus.nc.Drain() == nil {
		for !bus.nc.IsClosed() {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func say(event string, pairs ...any) {
	line := object{"event": event}
	for at := 0; at < len(pairs); at += 2 {
		line[pairs[at].(string)] = pairs[at+1]
	}
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func cut(text string, size int) string { // at a character's edge
	return strings.ToValidUTF8(text[:min(len(text), size)], "")
}

func number(value any) int64 {
	switch value := value.(type) {
	case int64:
		return value
	case uint64:
		return int64(value)
	}
	return 0
}

func pack(value object) []byte {
	body, _ := msgpack.Marshal(value)
	return body
}

func unpack(body []byte) (value object, err error) {
	reader := bytes.NewReader(body)
	decoder := msgpack.NewDecoder(reader)
	decoder.UseLooseInterfaceDecoding(true) // any width of integer is int64 or uint64
	if err = decoder.Decode(&value); err == nil && (value == nil || reader.Len() > 0) {
		err = errors.New("not exactly one map")
	}
	return value, err
}
