package pgsession

import (
	"context"

	"github.com/pgmove/pgmove/stream"
)

// Minter makes the password for one connection.
type Minter func(ctx context.Context, host string, port uint16, user string) (string, error)

// Authenticate has every connection, and every libpq program, log in with a password that is made for it: one that
// soon expires, so that those of connections that come later are others. Such a password goes to the server as it is. So
// the connection must be encrypted; and it is made for one host, so there can be only one. Else the error is a Failure of
// kind Usage. A password that the connection string or the environment gave is not used.
func (c *Conn) Authenticate(m Minter) error {
	bad := func(msg, hint string) error {
		return (&stream.Failure{Kind: stream.Usage, Object: c.Name(), Msg: msg}).WithHint("%s", hint)
	}
	for _, f := range c.config.Fallbacks {
		if f.Host != c.config.Host || f.Port != c.config.Port {
			return bad("a login by token is for one host", "name one host, such as the cluster's endpoint")
		}
	}
	switch mode(c.config) {
	case "require", "verify-ca", "verify-full":
	default:
		return bad("a login by token needs TLS: who reads the token can log in", "add sslmode=verify-full and sslrootcert=FILE to the connection string")
	}
	c.Password = func(ctx context.Context) (string, error) {
		p, err := m(ctx, c.config.Host, c.config.Port, c.config.User)
		if err == nil {
			c.minted.Store(&p)
		}
		return p, err
	}
	return nil
}

// lastMinted is the password that was made last, "" for none.
func (c *Conn) lastMinted() string {
	if p := c.minted.Load(); p != nil {
		return *p
	}
	return ""
}
