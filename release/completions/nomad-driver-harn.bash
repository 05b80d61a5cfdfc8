# The program completes its own command line.
complete -o bashdefault -o default -C nomad-driver-harn nomad-driver-harn
