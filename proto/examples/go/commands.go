package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Once carries commands out, one after the other and each at most once. Strategies go by name and action.
type Once struct {
	Agent      object
	Strategies map[string]func(object) error

	turn    sync.Mutex
	results []object // of the last thousand commands
	fence   int64
}

// Take answers a command with its CommandResult.
func (once *Once) Take(order object) object {
	arrived := time.Now()
	once.turn.Lock()
	defer once.turn.Unlock()
	to, _ := order["agent"].(object)
	boot := order["instance"]
	if to["kind"] != once.Agent["kind"] || to["id"] != once.Agent["id"] || (boot != nil && boot != once.Agent["instance"]) {
		return object{"command_id": order["command_id"], "status": "misaddressed"}
	}
	same := func(one object) bool { return one["command_id"] == order["command_id"] }
	if known := slices.IndexFunc(once.results, same); known >= 0 {
		return once.results[known]
	}
	if number(order["fence"]) < once.fence {
		return object{"command_id": order["command_id"], "status": "stale"}
	}
	result := object{"command_id": order["command_id"], "status": "done"}
	began := time.Now()
	waited := began.Sub(arrived).Milliseconds()
	act := once.Strategies[fmt.Sprint(order["strategy"], " ", order["action"])]
	switch {
	case began.UnixNano() > number(order["deadline_unix_nano"]) && waited >= number(order["timeout_ms"]):
		result["status"] = "expired"
	case act == nil:
		result["status"] = "unsupported"
	default:
		once.fence = number(order["fence"])
		if err := act(order); err != nil {
			result["status"], result["code"] = "failed", cut(fmt.Sprintf("%T", err), 256)
			result["detail"] = cut(err.Error(), 1024)
		}
		result["duration_ms"] = time.Since(began).Milliseconds()
	}
	once.results = append(once.results[max(0, len(once.results)-999):], result)
	say("command", "strategy", order["strategy"], "action", order["action"], "status", result["status"])
	return result
}
