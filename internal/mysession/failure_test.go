package mysession

import (
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/pgmove/pgmove/stream"
)

// TestEncryptionAskedFor: a server that takes encrypted connections alone says so under two numbers; MariaDB 10.11, which the tests have, only under
// that of a wrong password.
func TestEncryptionAskedFor(t *testing.T) {
	for number, url := range map[uint16]string{errSecureTransport: "mysql://u@h/d", 1045: "mysql://u@h/d?sslmode=disable"} {
		c, err := Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		err = c.explain(&mysql.MySQLError{Number: number, Message: "no"})
		f, ok := err.(*stream.Failure) //nolint:errorlint // it is not wrapped
		if !ok || f.Kind != stream.Denied || !strings.Contains(f.Hint, "require_secure_transport") || !strings.Contains(f.Hint, "sslmode=require") {
			t.Errorf("error %d: %+v", number, err)
		}
	}
}
