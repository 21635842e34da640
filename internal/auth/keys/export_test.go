package keys

// Sealed makes a key of an id and a secret, with the check that fits.
func Sealed(id, secret string) string {
	stem := prefix + id + "_" + secret
	return stem + "_" + check(stem)
}
