package secret

// CreateQuickKeyFile is CreateKeyFile with a passphrase that is quickly guessed.
func CreateQuickKeyFile(path string, passphrase Value) error {
	k := &KeyFile{}
	if err := k.grow(); err != nil {
		return err
	}
	return k.write(path, passphrase, 4)
}

// RotateQuickKeyFile is RotateKeyFile, likewise.
func RotateQuickKeyFile(path string, passphrase Value) error {
	k, err := OpenKeyFile(path, passphrase)
	if err != nil {
		return err
	}
	if err := k.grow(); err != nil {
		return err
	}
	return k.write(path, passphrase, 4)
}
