"""The command `tsdb`: a shell for people, and a runner for scripts. It uses only public names of `tsdb`."""
