package ppp

import (
	"context"
	"errors"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// device is what pppd opens.
const device = "/dev/ppp"

// Check implements backend.Backend.
func (b *Backend) Check(ctx context.Context, in backend.Input) error {
	errs := []error{b.checkModules(ctx, in)}
	if in.Want.PPP.IsZero() {
		return errors.Join(append(errs, b.plain().Check(in, plainFiles(in.Want)))...)
	}
	if !b.Installed(program) {
		errs = append(errs, backend.Refuse("ppp", "apt-get install ppp", "pppd is not installed"))
	}
	errs = append(errs, b.checkDevice(ctx, in), b.checkHooks(in), b.checkRoutes(in), b.plain().Check(in, plainFiles(in.Want)))
	for _, path := range []string{chapSecrets, papSecrets} {
		errs = append(errs, b.checkSecrets(path))
	}
	files, err := secretFiles(&in.Want.PPP, in.Secrets.Value)
	if err != nil {
		return err
	}
	return errors.Join(append(errs, b.secret(in).Check(in, files))...)
}

// checkModules refuses what the kernel cannot do.
func (b *Backend) checkModules(ctx context.Context, in backend.Input) error {
	var errs []error
	for _, name := range in.Want.Modules {
		ok, err := b.Modules.Loaded(ctx, name)
		if err == nil && !ok {
			ok, err = b.Modules.Available(ctx, name)
		}
		switch {
		case err != nil:
			errs = append(errs, err)
		case !ok:
			errs = append(errs, backend.Refuse("module/"+name, "use a kernel that has it: Debian's linux-image-amd64 does, its cloud kernels do not",
				"the running kernel has no module %s", name))
		}
	}
	return errors.Join(errs...)
}

// checkDevice looks for the device, which a module that is still to be loaded brings along.
func (b *Backend) checkDevice(ctx context.Context, in backend.Input) error {
	if b.Device() {
		return nil
	}
	if slices.Contains(in.Want.Modules, "ppp_generic") {
		loaded, err := b.Modules.Loaded(ctx, "ppp_generic")
		if err != nil || !loaded {
			return err
		}
	}
	return backend.Refuse("ppp", "mknod -m 600 /dev/ppp c 108 0; in a container its host must allow that", "%s is missing", device)
}

// override is what the package's script runs in place of the hooks, where it is there.
const override = folder + "/ip-up.local"

// checkHooks refuses links whose routes nobody would make.
func (b *Backend) checkHooks(in backend.Input) error {
	if len(in.Want.PPP.Links) == 0 {
		return nil
	}
	object := in.Want.PPP.Links[0].Object()
	if f, err := b.Files.Read(override); err == nil && f.Mode&0o111 != 0 {
		return backend.Refuse(object, "let it call run-parts "+folder+"/ip-up.d from another name",
			"%s keeps pppd from calling what is in ip-up.d", override)
	}
	return nil
}
