// A Mendbus agent in Go, written from ../../README.md; the rest of the folder is what every agent in Go would share. Its work: it
// loads a JSON file again and again, and reports when it cannot. It is healed by loading once more (retry), or by the
// last content that could be loaded (rollback).
//
//	NATS_URL=nats://127.0.0.1:4222 AGENT=developer_tools/go-1 FILE=settings.json go run .
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

const interval = 500 * time.Millisecond

var (
	file = cmp.Or(os.Getenv("FILE"), "settings.json")
	lock sync.Mutex // of the file and the next two
	good []byte     // the last content that could be loaded
	was  []byte     // what a rollback replaced
)

func load() error {
	lock.Lock()
	defer lock.Unlock()
	content, err := os.ReadFile(file)
	if err = cmp.Or(err, json.Unmarshal(content, new(any))); err == nil {
		good = content
	}
	return err
}

var strategies = map[string]func(object) error{
	"retry apply": func(order object) error {
		if order["operation"] != "load" {
			return fmt.Errorf("there is no operation %v", order["operation"])
		}
		limits, _ := order["parameters"].(object)
		most, pause := cmp.Or(number(limits["max_tries"]), 3), cmp.Or(number(limits["base_ms"]), 50)
		for tried := int64(1); ; tried++ {
			if err := load(); err == nil || tried >= most {
				return err
			}
			ceiling := min(pause<<min(tried, 10), cmp.Or(number(limits["max_ms"]), 1000))
			time.Sleep(rand.N(time.Duration(max(ceiling, 1)) * time.Millisecond))
		}
	},
	"rollback apply": func(object) error {
		lock.Lock()
		defer lock.Unlock()
		if good == nil {
			return errors.New("nothing was ever loaded")
		}
		was, _ = os.ReadFile(file)
		return os.WriteFile(file, good, 0o600)
	},
	"rollback undo": func(object) error {
		lock.Lock()
		defer lock.Unlock()
		return os.WriteFile(file, was, 0o600)
	},
}

// resident is what there is to tell of the process; what is not known is left out.
func resident() object {
	var pages, held int64
	statm, err := os.ReadFile("/proc/self/statm")
	if _, err = fmt.Sscan(string(statm), &pages, &held); err != nil {
		return object{}
	}
	return object{"memory_bytes": held * int64(os.Getpagesize())}
}

func probe(object) object {
	answer := object{"healthy": true, "operation": "load", "checked_unix_nano": time.Now().UnixNano()}
	if err := load(); err != nil {
		answer["healthy"], answer["detail"] = false, cut(err.Error(), 1024)
	}
	return answer
}

// greet says hello until that is stored: at the start, and after each reconnect.
func greet(bus *Bus) {
	hello := object{"agent": bus.Agent, "strategies": []string{"retry", "rollback"},
		"operations": []object{{"name": "load"}}, "interval_ms": interval.Milliseconds()}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		if reply := bus.Ask("agent.hello", hello); reply["stored"] == true {
			say("greeted")
			return
		}
		time.Sleep(pause)
	}
}

func main() {
	url, name := cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), cmp.Or(os.Getenv("AGENT"), "developer_tools/go-1")
	bus, err := Connect(url, cmp.Or(os.Getenv("MENDBUS_ROOT"), "mendbus.v1"), name, greet)
	if err == nil {
		once := &Once{Agent: bus.Agent, Strategies: strategies}
		err = errors.Join(bus.Hear("command", once.Take), bus.Hear("probe", probe),
			bus.Hear("settlement", bus.Settle), bus.Hear("outcome", bus.Settle))
	}
	if err != nil {
		log.Fatalf("cannot take part: %v", err)
	}
	go greet(bus)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	failing := false
	for tick := 0; ; tick++ {
		err := load()
		if err != nil && !failing {
			go bus.Report(err, "configuration", "load")
		}
		failing = err != nil
		if tick%5 == 0 {
			bus.Publish("health", object{"agent": bus.Agent, "time_unix_nano": time.Now().UnixNano(), "sequence": tick / 5,
				"interval_ms": interval.Milliseconds(), "metrics": resident()})
		}
		select {
		case <-stop:
			bus.Publish("agent.goodbye", object{"id": nuid.Next(), "time_unix_nano": time.Now().UnixNano(),
				"agent": bus.Agent, "reason": "SIGTERM"})
			bus.Close()
			return
		case <-time.After(interval / 5):
		}
	}
}
