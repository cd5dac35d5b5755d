package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Report sends an error under one id until it is acknowledged, and keeps it until it is settled.
func (bus *Bus) Report(failure error, category, operation string) {
	one, trace := nuid.Next(), fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	message := nats.NewMsg(bus.subject("error.error"))
	message.Header["traceparent"] = []string{fmt.Sprintf("00-%s-%016x-01", trace, rand.Uint64())}
	told := object{"type": fmt.Sprintf("%T", failure), "message": cut(failure.Error(), 8192)}
	message.Data = pack(object{"id": one, "time_unix_nano": time.Now().UnixNano(), "agent": bus.Agent, "exception": told,
		"severity": "error", "category": category, "operation": operation})
	settled := make(chan struct{})
	bus.lock.Lock()
	bus.outbox[one] = settled
	bus.lock.Unlock()
	say("reported", "id", one, "trace", trace)
	first, acked := time.Now(), false
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		if !acked && time.Since(first) < 5*time.Minute || bus.became(one) == "unknown" {
			_, err := bus.js.PublishMsg(context.Background(), message, jetstream.WithMsgID(one))
			acked = err == nil
		}
		if acked {
			pause = 30 * time.Second
		}
		select {
		case <-settled:
			return
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

func (bus *Bus) became(one string) (found string) {
	for state, ids := range bus.Ask("settled", object{"event_ids": []string{one}, "agent": bus.Agent}) {
		if list, _ := ids.([]any); slices.Contains(list, any(one)) {
			found = state
		}
	}
	if found == "settled" {
		bus.forget(one)
	}
	return found
}

func (bus *Bus) forget(one any) bool {
	bus.lock.Lock()
	defer bus.lock.Unlock()
	id, _ := one.(string)
	settled, kept := bus.outbox[id]
	if kept {
		delete(bus.outbox, id)
		close(settled)
	}
	return kept
}

// Settle hears settlements and outcomes: what is done with is kept no longer.
func (bus *Bus) Settle(told object) object {
	ids, _ := told["event_ids"].([]any)
	if told["fingerprint"] == nil { // a settlement
		for _, one := range ids {
			if bus.forget(one) {
				say("settled", "id", one, "outcome", told["outcome"])
			}
		}
	} else {
		if told["outcome"] == "rejected" {
			bus.forget(told["incident_id"])
		}
		say("outcome", "outcome", told["outcome"], "incident", told["incident_id"], "settled", told["settled"])
	}
	return nil
}
