package pgtarget

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/stream"
)

// TestSecretEntries: what the server says of an entry that may hold a password is not shown, as it quotes.
func TestSecretEntries(t *testing.T) {
	pe := &pgconn.PgError{Severity: "ERROR", Code: "42601", Message: `missing "=" after "CANARY" in connection info string`, Hint: "CANARY", Where: "CANARY"}
	for _, secret := range []bool{true, false} {
		e := &stream.Entry{ID: 7, Desc: "SUBSCRIPTION", Tag: "s", Defn: "CREATE SUBSCRIPTION s CONNECTION 'CANARY'", Secret: secret}
		err := (&Target{}).explain(e, pe)
		var f *stream.Failure
		if !errors.As(err, &f) || !strings.Contains(err.Error(), "42601") || !strings.Contains(err.Error(), "SUBSCRIPTION s") {
			t.Fatalf("%v", err)
		}
		if shown := strings.Contains(err.Error()+f.Hint, "CANARY"); shown == secret {
			t.Errorf("secret %t: %v; hint: %s", secret, err, f.Hint)
		}
	}
}
