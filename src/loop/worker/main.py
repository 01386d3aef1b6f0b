

if __name__ == "__main__":
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
    except Exception as error:
        import traceback

        traceback.print_exc()
        # The last line is what is quoted.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)
