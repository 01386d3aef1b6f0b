// Counts a program's MPI_Allreduce when it is loaded before MPI, and says how many there were.

#include <mpi.h>

#include <cstdio>

static long reductions;

extern "C" int MPI_Allreduce(const void *in, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
  ++reductions;
  return PMPI_Allreduce(in, out, n, type, op, comm);
}

extern "C" int MPI_Finalize()
{
  std::printf("reductions: %ld\n", reductions);
  return PMPI_Finalize();
}
