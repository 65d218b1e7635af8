package stream

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// MACKey is a secret that both sides share: with it every object under pgmove/ bears an
// authentication code, and a reader that has it takes nothing without. Empty for none.
type MACKey []byte

// minMACKey is how many bytes a key has at least: what is shorter can be guessed.
const minMACKey = 16

// Valid returns an error for a key that is too short to be one.
func (k MACKey) Valid() error {
	if len(k) > 0 && len(k) < minMACKey {
		return fmt.Errorf("a key of %d bytes is too short: %d at least are needed", len(k), minMACKey)
	}
	return nil
}

// code authenticates a body, by its hash, together with the name and the run that it belongs
// to: an object must pass for no other one.
func (k MACKey) code(key, run string, body Hash) Hash {
	m := hmac.New(sha256.New, k)
	fmt.Fprintf(m, "pgmove archive %d\n%s\n%s\n", FormatVersion, key, run)
	m.Write(body[:])
	var h Hash
	m.Sum(h[:0])
	return h
}

// An object under pgmove/ is one line of JSON: an envelope with the body last. The
// envelope has one spelling alone, so that a change of any of its bytes is noticed.

// wrap returns the object under key with the body.
func wrap(key, run string, mac MACKey, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	sum := Hash(sha256.Sum256(body))
	var code *Hash
	if len(mac) > 0 {
		c := mac.code(key, run, sum)
		code = &c
	}
	head := envelope(FormatVersion, run, sum, code)
	return slices.Concat(head, body, []byte(envelopeEnd)), nil
}

// What comes before the body, and what after it.
const (
	envelopeBody = `"body":`
	envelopeEnd  = "}\n"
)

// envelope returns all that comes before the body.
func envelope(format int, run string, sum Hash, code *Hash) []byte {
	var b bytes.Buffer
	id, _ := json.Marshal(run) // a string can't fail
	fmt.Fprintf(&b, `{"format":%d,"run":%s,"sha256":"%s",`, format, id, hex.EncodeToString(sum[:]))
	if code != nil {
		fmt.Fprintf(&b, `"mac":"%s",`, hex.EncodeToString(code[:]))
	}
	b.WriteString(envelopeBody)
	return b.Bytes()
}

// Why an envelope is refused.
var (
	errNotEnvelope = errors.New("it is cut short, or not JSON of pgmove's")
	errSpelling    = errors.New("its envelope is not spelled as pgmove does it: it was changed")
	errBodyHash    = errors.New("its SHA-256 is not what it says of itself: it was damaged or changed")
	errNoMAC       = errors.New("it bears no authentication code, and --mac-key asks for one")
	errMAC         = errors.New("its authentication code is wrong: it was changed, or --mac-key is not the key it was written with")
)

// unwrap checks the object under key and returns its run and its body. Nothing of the
// body was parsed by then but its end found.
func unwrap(key string, b []byte, mac MACKey) (run string, body []byte, err error) {
	var e struct {
		Format int    `json:"format"`
		Run    string `json:"run"`
		SHA256 Hash   `json:"sha256"`
		MAC    *Hash  `json:"mac"`
	}
	// Within a string its quotes would be escaped: where these bytes first stand the body begins. It may be large, and is not
	// copied.
	head, body, found := bytes.Cut(b, []byte(envelopeBody))
	body, ended := bytes.CutSuffix(body, []byte(envelopeEnd))
	if !found || !ended || json.Unmarshal(slices.Concat(head, []byte(envelopeBody+"0}")), &e) != nil {
		return "", nil, errNotEnvelope
	}
	if e.Format != FormatVersion {
		return "", nil, fmt.Errorf("its format is version %d, this pgmove reads %d", e.Format, FormatVersion)
	}
	if !bytes.Equal(b[:len(b)-len(body)-len(envelopeEnd)], envelope(e.Format, e.Run, e.SHA256, e.MAC)) {
		return "", nil, errSpelling
	}
	if sha256.Sum256(body) != e.SHA256 {
		return "", nil, errBodyHash
	}
	if len(mac) > 0 {
		if e.MAC == nil {
			return "", nil, errNoMAC
		}
		if want := mac.code(key, e.Run, e.SHA256); !hmac.Equal(want[:], e.MAC[:]) {
			return "", nil, errMAC
		}
	}
	return e.Run, body, nil
}
