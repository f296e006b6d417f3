package guest

import "errors"

func mountDisk() error   { return errors.New("mounting disk: not supported") }
func execSystemd() error { return errors.New("starting systemd: not supported") }
func serviceMain() int   { return 1 }
