package main

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// Who the agent is to a server with users, and whose commands count: ../../README.md, 2.7.
var (
	place   = os.Getenv("MENDBUS_NATS_CREDENTIALS") // its nkey, or the folder in which it is agent/KIND/ID.nk
	caFile  = os.Getenv("MENDBUS_NATS_CA")          // the certificate of the authority
	trusted = os.Getenv("MENDBUS_TRUSTED_KEYS")     // keys.json, read again each time; without it, unsigned commands count
	began   = time.Now()
)

// access gives the options with which the agent connects.
func access(kind, id string) ([]nats.Option, error) {
	if place == "" {
		if caFile != "" || trusted != "" {
			return nil, errors.New("MENDBUS_NATS_CA and MENDBUS_TRUSTED_KEYS count only with MENDBUS_NATS_CREDENTIALS: set all or none")
		}
		return nil, nil
	}
	file := place
	if found, err := os.Stat(place); err == nil && found.IsDir() {
		file = filepath.Join(place, "agent", kind, id+".nk")
	}
	key, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		return nil, fmt.Errorf("%s holds no key (%w): `mendbus nats-config add` makes one", file, err)
	}
	options := []nats.Option{key, nats.CustomInboxPrefix(fmt.Sprintf("_INBOX.agent.%s.%s", kind, id))}
	if caFile != "" {
		options = append(options, nats.RootCAs(caFile))
	}
	return options, nil
}

type trustedKey struct {
	Kid    string `json:"kid"`
	Public string `json:"public"`
	Role   string `json:"role"`
	Until  int64  `json:"until_unix_nano"`
}

// refusal says why a command does not count, and nothing where it does.
func refusal(family string, message *nats.Msg, order object) string {
	if trusted == "" || family != "command" {
		return ""
	}
	kid, text := value(message, "Mendbus-Key"), value(message, "Mendbus-Signature")
	if kid == "" || text == "" {
		return "unsigned"
	}
	var file struct{ Keys []trustedKey }
	content, err := os.ReadFile(trusted)
	if err = cmp.Or(err, json.Unmarshal(content, &file)); err != nil {
		return "unknown_key"
	}
	at := slices.IndexFunc(file.Keys, func(one trustedKey) bool { return one.Kid == kid })
	if at < 0 {
		return "unknown_key"
	}
	key, now := file.Keys[at], time.Now()
	if key.Until != 0 && now.UnixNano() > key.Until {
		return "expired_key"
	}
	public, err := base64.RawURLEncoding.DecodeString(key.Public)
	signature, wrong := base64.RawURLEncoding.DecodeString(text)
	signed := append(fmt.Appendf(nil, "mendbus.v1\n%s\n%v\n", message.Subject, order["command_id"]), message.Data...)
	if err != nil || wrong != nil || len(public) != ed25519.PublicKeySize || !ed25519.Verify(public, signed, signature) {
		return "bad_signature"
	}
	if key.Role != "executor" {
		return "not_allowed"
	}
	deadline := time.Unix(0, number(order["deadline_unix_nano"]))
	made := deadline.Add(-time.Duration(number(order["timeout_ms"])) * time.Millisecond)
	if now.After(deadline.Add(time.Minute)) || order["instance"] == nil && made.Before(began) {
		return "late"
	}
	return ""
}

// value is a header's by its exact name: the library would look for it in another case.
func value(message *nats.Msg, name string) string {
	if found := message.Header[name]; len(found) > 0 {
		return found[0]
	}
	return ""
}
