package mysource

import (
	"fmt"
	"strconv"
	"strings"
)

// integer is one of 64 bits, signed or not.
type integer struct {
	bits   uint64
	signed bool
}

// integers reads two numbers of one column. A negative one makes both signed.
func integers(a, b string) (lo, hi integer, err error) {
	signed := strings.HasPrefix(a, "-") || strings.HasPrefix(b, "-")
	read := func(s string) (integer, error) {
		if signed {
			n, err := strconv.ParseInt(s, 10, 64)
			return integer{uint64(n), true}, err
		}
		n, err := strconv.ParseUint(s, 10, 64)
		return integer{n, false}, err
	}
	if lo, err = read(a); err == nil {
		hi, err = read(b)
	}
	if err != nil {
		return lo, hi, fmt.Errorf("the key's least and greatest value: %w", err)
	}
	return lo, hi, nil
}

// plus is the number n greater, in decimal.
func (i integer) plus(n uint64) string {
	if i.signed {
		return strconv.FormatInt(int64(i.bits+n), 10)
	}
	return strconv.FormatUint(i.bits+n, 10)
}
